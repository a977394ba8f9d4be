"""What is said and shown of countries that were left out."""

from __future__ import annotations

import pytest

from ms_pfl.studies.unseen_site.show import (
    learning_curve,
    new_country_sentences,
    new_country_table,
)
from unseen_site_examples import MARGINS, tables

SITES = ("country", "countries")


def test_what_is_said_follows_from_the_numbers() -> None:
    lines = new_country_sentences(*tables(0.05, 0.01, 0.09), SITES, MARGINS)
    text = "\n".join(lines)
    assert lines[0].startswith("2 countries left out, one after the other: ")
    assert "macro ROC-AUC of 0.700 [0.600, 0.800]" in text
    assert (
        "Whether Federated with the country is better or worse than the others' model is "
        "inconclusive: macro ROC-AUC differs by +0.020 [-0.010, +0.040] (p 0.500)."
    ) in lines
    assert (
        "Local with all its patients is worse than the others' model: macro ROC-AUC -0.100 "
        "[-0.200, -0.050] (p 0.500)."
    ) in lines
    assert "pays by ROC-AUC with all patients and by log-loss with all patients" in text
    assert "no number of patients" not in text


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (
            (0.05, -0.01, 0.09),
            "Whether Fine-tuned with all its patients is better or worse than the others' model is "
            "inconclusive: macro ROC-AUC differs by +0.050 [-0.010, +0.090] (p 0.500).",
        ),
        (
            (-0.05, -0.09, -0.01),
            "Fine-tuned with all its patients is worse than the others' model: macro ROC-AUC "
            "-0.050 [-0.090, -0.010] (p 0.500).",
        ),
        (
            (0.001, -0.001, 0.0015),
            "Fine-tuned with all its patients and the others' model are equivalent: macro ROC-AUC "
            "differs by +0.001 [-0.001, +0.002] (p 0.500), within ± 0.01.",
        ),
    ],
)
def test_where_it_does_not_pay_the_verdict_says_why(
    bounds: tuple[float, float, float], said: str
) -> None:
    lines = new_country_sentences(*tables(*bounds), SITES, MARGINS)
    assert "By ROC-AUC no number of patients tried makes a personal model pay." in lines
    assert "By log-loss no number of patients tried makes a personal model pay." in lines
    assert said in lines
    assert not [line for line in lines if line.startswith("A personal model pays")]


def test_each_country_is_scored_by_the_model_that_never_saw_it() -> None:
    lines = new_country_sentences(*tables(0.05, 0.01, 0.09), SITES, MARGINS)
    assert lines[1] == (
        "Leave one country out: with each country scored by the model that never saw it, pooled "
        "ROC-AUC is 0.700 [0.600, 0.800]; by the model of all, 0.720 [0.620, 0.820]."
    )
    assert lines[2].startswith(
        "From the values of the model of all, a further country was to expect a ROC-AUC of 0.720 "
        "[0.620, 0.820] (random effects, 95 % prediction interval). "
    )
    assert lines[2].endswith("test patients included: 1 of 2.")
    assert lines[3] == (
        "Whether Federated with each country is better or worse than without it is inconclusive: "
        "pooled ROC-AUC differs by +0.020 [-0.010, +0.040] (p 0.500)."
    )


def test_every_comparison_has_one_of_the_four_verdicts() -> None:
    for bounds in ((0.05, 0.01, 0.09), (0.05, -0.01, 0.09), (0.001, -0.001, 0.0015)):
        text = " ".join(new_country_sentences(*tables(*bounds), SITES, MARGINS))
        assert "nan" not in text


def test_the_table_has_a_row_a_number_of_patients() -> None:
    table = new_country_table(*tables(0.05, 0.01, 0.09))
    assert table["Patients"].tolist() == ["0", "50", "all"]
    assert table["Countries"].tolist() == ["2", "2", "2"]
    assert table.iloc[0].tolist()[3:5] == ["–", "–"]
    assert table.iloc[2, -3:].tolist() == [
        "+0.050 [+0.010, +0.090], better", "-0.0500 [-0.0900, -0.0100], better",
        "+0.050 [+0.010, +0.090], better",
    ]  # fmt: skip


def test_the_figure_shows_every_size_and_kind() -> None:
    figure = learning_curve(tables(0.05, 0.01, 0.09)[0])
    for axes in figure.axes:
        ticks = [label.get_text() for label in axes.get_xticklabels()]
        assert ticks == ["0\n(2)", "50\n(2)", "all\n(2)"]
        assert "training patients" in axes.get_xlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "The others' model",
        "Fine-tuned on its own patients",
        "Its own patients alone",
        "Federated, had it taken part",
    ]
