"""A section is a row: page, contents, inputs and datasets of figures follow from it."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from kedro.pipeline import Node, Pipeline
from matplotlib.figure import Figure

from ms_pfl.datasets import FigureFile
from ms_pfl.pipelines.reporting.nodes import write_report
from ms_pfl.pipelines.reporting.pipeline import create_report_pipeline
from ms_pfl.pipelines.studies.pipeline import (
    create_coefficients_pipeline,
    create_new_country_pipeline,
)
from ms_pfl.reporting import sections
from ms_pfl.reporting.content import About, Content, Picture, Table, Text
from ms_pfl.reporting.sections import Section


def count_patients(about: About, patients: pd.DataFrame) -> Content | None:
    """A section as somebody adds it: nothing to show without patients."""
    if patients.empty:
        return None
    figure = Figure(figsize=(2, 2))
    figure.add_axes((0, 0, 1, 1)).plot([len(patients)], [0], "o")
    return [
        Text(about.fill("The {sites} know <few>.")),
        Picture("patients_known", figure, "Patients", "How many there are."),
        Table(pd.DataFrame({"Patients": [str(len(patients))]})),
    ]


@pytest.fixture
def with_a_row(monkeypatch: pytest.MonkeyPatch) -> Section:
    row = Section(
        "known", "Patients of all {sites}", count_patients, ("patients",), ("patients_known",)
    )
    monkeypatch.setattr(sections, "SECTIONS", [sections.SECTIONS[-1], row])
    return row


def writing(pipeline: Pipeline) -> Node:
    """The node that writes the page."""
    (node,) = pipeline.only_nodes("reporting.write_report").nodes
    return node


def given(episodes: pd.DataFrame, patients: int) -> dict[str, object]:
    """What the node is given where the page has two sections."""
    return {
        "cohort_description": {
            "source": {"kind": "own", "description": "d", "site": "hospital"},
            "countries": [],
        },
        "summary": pd.DataFrame({"paradigm": ["federated"], "strategy": ["fedprox"]}),
        "headline": ["All is well."],
        "episodes": episodes,
        "parameters": {},
        "history": pd.DataFrame(),
        "findings": {},
        "patients": pd.DataFrame({"patient": range(patients)}),
    }


def test_a_row_makes_inputs_figures_and_a_part_of_the_page(
    with_a_row: Section, episodes: pd.DataFrame
) -> None:
    node = writing(create_report_pipeline("study"))
    assert "patients" in node.inputs
    assert node.outputs == ["report", "figure_patients_known"]
    made = write_report(**given(episodes, 3))
    assert isinstance(made["figure_patients_known"], Figure)
    assert set(made) == set(node.outputs)
    page = made["report"]
    assert '<a href="#known">Patients of all hospitals</a>' in page
    assert '<h2 id="known">Patients of all hospitals</h2>' in page
    assert "<p>The hospitals know &lt;few&gt;.</p>" in page
    assert '<figure role="img" aria-label="Patients"><svg' in page
    assert '<th scope="row">3</th>' in page


def test_a_section_without_content_is_left_out_and_an_earlier_figure_goes(
    with_a_row: Section, episodes: pd.DataFrame, tmp_path: Path
) -> None:
    made = write_report(**given(episodes, 0))
    assert "Patients of all" not in made["report"]
    file = tmp_path / "patients_known.png"
    dataset = FigureFile(filepath=str(file))
    dataset.save(Figure(figsize=(1, 1)))
    assert dataset.load() == file
    assert file.is_file()
    for _ in range(2):
        dataset.save(made["figure_patients_known"])
        assert not file.exists()
        assert dataset.load() is None


@pytest.mark.parametrize(
    ("create", "tables", "figures"),
    [
        (
            create_new_country_pipeline,
            {"new_country_estimates", "new_country_differences"},
            {"figure_new_country"},
        ),
        (
            create_coefficients_pipeline,
            {"odds_ratios", "shape_curves", "site_intercepts"},
            {"figure_odds_ratios", "figure_shape_curves"},
        ),
    ],
)
def test_an_extra_section_is_shown_where_its_pipeline_asks_for_it(
    create: Callable[[], Pipeline], tables: set[str], figures: set[str]
) -> None:
    usual = writing(create_report_pipeline("study"))
    assert tables.isdisjoint(usual.inputs)
    node = writing(create())
    assert set(node.inputs) == set(usual.inputs) | tables
    assert set(node.outputs) == set(usual.outputs) | figures


def test_every_row_names_a_function_that_takes_what_it_needs() -> None:
    for row in sections.SECTIONS:
        parameters = list(inspect.signature(pkgutil.resolve_name(row.build)).parameters)
        assert parameters == ["about", *row.needs]
