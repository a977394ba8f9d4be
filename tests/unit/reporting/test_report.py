"""The HTML report: complete, self-contained, the same for the same input."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from ms_pfl.evaluation.comparison import summarize
from ms_pfl.reporting.report import Findings, build_report, installed_versions
from ms_pfl.reporting.tables import country_table, table1
from unseen_site_examples import tables

ATTRITION = pd.DataFrame(
    {
        "stage": ["Registry", "Follow-up", "Episodes"],
        "reason": ["People in the registry", "No visit near two years", "Labelled episodes"],
        "patients": [207, 205, 205],
        "episodes": [1400, 1054, 1054],
        "patients_dropped": [0, 2, 0],
        "episodes_dropped": [0, 346, 0],
    }
)
PREVALENCE = [
    {
        "outcome": "state_near_two_years",
        "rule": "three_strata",
        "episodes": 1054,
        "worsened": 120,
        "prevalence": 0.1139,
        "agreement": 1.0,
        "kappa": None,
        "share_pira": 0.625,
    }
]
SYNTHETIC = {"kind": "synthetic", "description": "Synthetic registry <seed 1> & co"}
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Collect tags and text, and see that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def arguments(
    findings: Findings, episodes: pd.DataFrame, split_counts: pd.DataFrame
) -> dict[str, object]:
    return {
        "findings": findings,
        "cohort": {
            "source": SYNTHETIC,
            "countries": country_table(episodes).to_dict("records"),
            "attrition": ATTRITION.to_dict("records"),
            "attrition_by_country": ATTRITION.assign(country="Côte d'Ivoire").to_dict("records"),
            "prevalence": PREVALENCE,
        },
        "split_counts": split_counts,
        "configuration": {"seeds": [0, 1, 2], "note": "</pre><script>alert(1)</script>"},
        "provenance": {"data": "d" * 32, "code": "c" * 32},
    }


@pytest.fixture(scope="module")
def page(arguments: dict[str, object]) -> str:
    return build_report(**arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_every_tag_is_closed(reader: Reader) -> None:
    assert reader.open == []


def test_nothing_is_loaded_from_elsewhere(page: str, reader: Reader) -> None:
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in reader.tags}
    for tag, attributes in reader.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), tag
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_it_holds_what_the_run_found(
    reader: Reader, metrics: pd.DataFrame, findings: Findings
) -> None:
    text = " ".join(" ".join(reader.text).split())
    assert "Synthetic data." in text
    assert "Synthetic registry <seed 1> & co" in text
    for cell in table1(summarize(metrics)).to_numpy().ravel():
        assert cell in text
    assert "Labelled episodes" in text
    assert "346" in text
    assert "State near two years three strata 1,054 120 11.4 % 100.0 % – 62.5 %" in text
    assert "Côte d'Ivoire" in text
    for line in findings.headline:
        assert line in text
    assert "d" * 32 in text
    for name in ("Fine-tuned FedProx", "Recalibrated with slope FedAvg", "Women", "23a"):
        assert name in text
    assert installed_versions()["torch"] in text
    assert sum(tag == "svg" for tag, _ in reader.tags) == 9


def test_bold_marks_the_highest_of_a_column(page: str, metrics: pd.DataFrame) -> None:
    summary = summarize(metrics)
    own = summary[(summary.metric == "roc_auc") & (summary.scope == "pooled")]
    best = own.iloc[own["mean"].argmax()]
    assert f"<strong>{best['mean']:.3f} ± {best['sd']:.3f}</strong>" in page
    lowest = own.iloc[own["mean"].argmin()]
    assert f"<strong>{lowest['mean']:.3f} ± {lowest['sd']:.3f}</strong>" not in page


def test_ids_are_unique(reader: Reader) -> None:
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_input_gives_the_same_page(page: str, arguments: dict[str, object]) -> None:
    assert build_report(**arguments) == page  # type: ignore[arg-type]


def test_every_printed_page_says_that_data_are_synthetic(page: str) -> None:
    """In the margin of the page, where it covers nothing."""
    assert re.search(r'@page \{ @top-center \{ content: "Synthetic data: no figure', page)


def test_data_of_ones_own_without_attrition_or_subgroups(
    arguments: dict[str, object], findings: Findings
) -> None:
    cohort = arguments["cohort"]
    assert isinstance(cohort, dict)
    none = findings.subgroup_metrics.iloc[:0]
    changes = {
        "findings": dataclasses.replace(findings, subgroup_metrics=none),
        "cohort": {
            **cohort,
            "source": {"kind": "own", "description": "Four hospitals", "site": "hospital"},
            "attrition": None,
            "attrition_by_country": None,
            "prevalence": None,
        },
    }
    page = build_report(**{**arguments, **changes})  # type: ignore[arg-type]
    assert "Synthetic data" not in page
    assert "From the registry" not in page
    assert "<h2>Subgroups</h2>" not in page
    assert "Data: Four hospitals." in page
    assert "Which paradigm serves which hospital" in page
    text = re.sub("<[^>]+>", " ", page.split("<h2>What travelled")[0])
    assert "each country" not in text.replace("draws the test patients of each country", "")


def test_countries_that_were_left_out_have_a_section_where_there_are_any(
    arguments: dict[str, object], page: str
) -> None:
    left_out = dataclasses.replace(arguments["findings"], new_country=tables(0.05, 0.01, 0.09))
    with_section = build_report(**{**arguments, "findings": left_out})  # type: ignore[arg-type]
    for text in ("A country that never took part", "one after the other: the model of the others"):
        assert text in with_section
        assert text not in page
