"""The nodes of the report between tables and page."""

from __future__ import annotations

from pathlib import Path

from ms_pfl.pipelines.reporting.nodes import draw_flow, gather_figures


def test_the_flow_is_drawn_once_as_figure_and_for_the_page() -> None:
    stages = [
        {"stage": "Registry", "reason": "People in the registry", "patients": 9, "episodes": 30},
        {"stage": "Age", "reason": "Too young", "patients": 8, "episodes": 25},
        {"stage": "Episodes", "reason": "Labelled episodes", "patients": 8, "episodes": 25},
    ]
    rows = [row | {"patients_dropped": 0, "episodes_dropped": 0} for row in stages]
    rows[1] |= {"patients_dropped": 1, "episodes_dropped": 5}
    by_country = [row | {"country": "Fiji"} for row in rows]
    cohort = {
        "attrition": rows,
        "attrition_by_country": by_country,
        "countries": [{"n_positive": 5}],
    }
    diagram, losses, pages = draw_flow(cohort)
    assert list(pages) == ["attrition", "attrition_by_country"]
    assert "5 of them (20.0 %) with the outcome" in pages["attrition"]
    said = [text.get_text() for text in diagram.axes[0].texts]
    assert "5 of them (20.0 %) with the outcome" in said
    assert [text.get_text() for text in losses.axes[0].get_yticklabels()] == ["Fiji (30)"]


def test_episodes_of_a_custom_table_have_no_flow_to_draw() -> None:
    assert draw_flow({"attrition": None}) == ("", "", {})


def test_the_figures_that_were_drawn_are_those_with_a_file() -> None:
    drawn = gather_figures(figure_one=Path("one.png"), figure_two=None, figure_a=Path("a.png"))
    assert drawn == ["one", "a"]
