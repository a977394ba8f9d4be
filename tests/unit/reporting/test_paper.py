"""What a paper needs of a run, filled from its configuration and tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from ms_pfl.parameters import Parameters, plain
from ms_pfl.reporting.checklists import checklists, cluster_items, probast_facts
from ms_pfl.reporting.content import About, Details
from ms_pfl.reporting.paper import methods_paragraph, model_card, paper
from ms_pfl.reporting.sites import country_table
from parameter_examples import load


def about_of(episodes: pd.DataFrame, told: dict[str, Any], kind: str = "synthetic") -> About:
    source = {"kind": kind, "description": "a registry", "outcome": "worsening"}
    return About(
        source,
        "country",
        "countries",
        country_table(episodes),
        "fedavg",
        told,
        {"code": "c", "data": "d"},
    )


@pytest.fixture
def about(episodes: pd.DataFrame) -> About:
    return about_of(episodes, plain(Parameters.model_validate(load("base"))))


def test_the_methods_paragraph_has_the_settings_of_the_run(
    about: About, findings: SimpleNamespace
) -> None:
    text = methods_paragraph(about, findings.summary, findings.coverage)
    for words in (
        "from 7 countries (a registry)",
        "split by patient (60 % train, 20 % validation, 20 % test), 3 times with different seeds",
        "2 hidden layers of 64 units, dropout 0.3, Adam with learning rate 0.001",
        "aggregated by FedAvg, FedProx",
        "1,000 replicates",
        "simultaneous (max-t) intervals",
        "0.01 of roc_auc",
    ):
        assert words in text
    assert "None" not in text


def test_a_published_protocol_is_named(episodes: pd.DataFrame, findings: SimpleNamespace) -> None:
    told = {"training": {"protocol": {"split_unit": "episode", "selection": "test"}}}
    published = about_of(episodes, told)
    text = methods_paragraph(published, findings.summary, findings.coverage)
    assert "split by episode" in text
    assert "selected on test patients" in text
    facts = {(domain, question): here for domain, question, here in probast_facts(published)}
    assert facts["Analysis", "Data leakage"].startswith("patients on both sides")
    assert facts["Analysis", "Selection"].startswith("on test patients")


def test_a_card_of_synthetic_data_says_so(
    about: About, episodes: pd.DataFrame, findings: SimpleNamespace
) -> None:
    given = findings.summary, findings.coverage
    assert "people who do not exist" in dict(model_card(about, *given))["Not for"]
    real = about_of(episodes, {}, kind="folder")
    assert "people who do not exist" not in dict(model_card(real, *given))["Not for"]


def test_the_lists_have_the_numbers_of_the_run(about: About, findings: SimpleNamespace) -> None:
    items = {number: here for number, _, here in cluster_items(about, findings.coverage)}
    assert list(items) == [
        "4a", "4b", "5", "6a", "6b", "7a", "7d", "8b", "8c", "8e", "8f", "8g", "10a", "10b", "12b",
        "13a", "13b", "14",
    ]  # fmt: skip
    assert items["10a"].startswith("7 countries")
    facts = {question: here for _, question, here in probast_facts(about)}
    total = about.countries[["n_episodes", "n_positive"]].sum()
    assert facts["Number with the outcome"] == (
        f"{total['n_positive']:,} of {total['n_episodes']:,} episodes"
    )
    blocks = [
        *checklists(about, findings.coverage), *paper(about, findings.summary, findings.coverage)
    ]  # fmt: skip
    assert all(isinstance(block, Details) for block in blocks)
