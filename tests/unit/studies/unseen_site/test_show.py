"""What is said and shown of countries that were left out."""

from __future__ import annotations

import pytest

from ms_pfl.studies.unseen_site.show import (
    learning_curve,
    new_country_sentences,
    new_country_table,
)
from unseen_site_examples import tables

SITES = ("country", "countries")


def test_what_is_said_follows_from_the_numbers() -> None:
    lines = new_country_sentences(*tables(0.05, 0.01, 0.09), SITES)
    text = "\n".join(lines)
    assert lines[0].startswith("2 countries left out, one after the other: ")
    assert "macro ROC-AUC of 0.700 [0.600, 0.800]" in text
    assert (
        "Having taken part has no statistically significant effect compared with staying away: "
        "macro ROC-AUC +0.020" in text
    )
    assert "pays by ROC-AUC with all patients and by log-loss with all patients" in text
    assert "own patients alone falls short of the others' model" in text
    assert "no number of patients" not in text


@pytest.mark.parametrize("bounds", [(0.05, -0.01, 0.09), (-0.05, -0.09, -0.01)])
def test_where_it_does_not_pay_that_is_said(bounds: tuple[float, float, float]) -> None:
    text = "\n".join(new_country_sentences(*tables(*bounds), SITES))
    assert "By ROC-AUC and log-loss no number of patients tried made fine-tuning better" in text
    assert "pays" not in text


def test_the_table_has_a_row_a_number_of_patients() -> None:
    table = new_country_table(*tables(0.05, 0.01, 0.09))
    assert table["Patients"].tolist() == ["0", "50", "all"]
    assert table["Countries"].tolist() == ["2", "2", "2"]
    assert table.iloc[0].tolist()[3:5] == ["–", "–"]
    assert table.iloc[2, -3:].tolist() == [
        "+0.050 [+0.010, +0.090]", "-0.0500 [-0.0900, -0.0100]", "+0.050 [+0.010, +0.090]",
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
