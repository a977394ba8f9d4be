"""The HTML report: complete, self-contained, the same for the same input."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ms_pfl.evaluation.scoring import summarize
from ms_pfl.reporting.attrition import draw_flow
from ms_pfl.reporting.figures import to_svg
from ms_pfl.reporting.made import installed_versions
from ms_pfl.reporting.page import build_report
from ms_pfl.reporting.sections import ALWAYS, shown
from ms_pfl.reporting.sites import country_table, per_country_table
from ms_pfl.reporting.table1 import notes, table1
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
PROVENANCE = {"data": "d" * 32, "code": "c" * 32}
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
def given(
    findings: SimpleNamespace,
    episodes: pd.DataFrame,
    metrics: pd.DataFrame,
    split_counts: pd.DataFrame,
) -> dict[str, Any]:
    countries = country_table(episodes)
    cohort = {
        "source": SYNTHETIC,
        "countries": countries.to_dict("records"),
        "attrition": ATTRITION.to_dict("records"),
        "attrition_by_country": ATTRITION.assign(country="Côte d'Ivoire").to_dict("records"),
        "prevalence": PREVALENCE,
    }
    return {
        **vars(findings),
        "cohort_description": cohort,
        "flow_figures": {name: to_svg(figure, name) for name, figure in draw_flow(cohort).items()},
        "table1": table1(findings.summary),
        "table1_notes": notes(findings.coverage, SYNTHETIC, split_counts, {}),
        "roc_auc_by_country": per_country_table(summarize(metrics), countries),
        "episodes": episodes,
        "parameters": {"seeds": [0, 1, 2], "note": "</pre><script>alert(1)</script>"},
    }


def only(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """What a report with few sections is made from."""
    return {name: given[name] for name in (*ALWAYS, *names)}


@pytest.fixture(scope="module")
def built(given: dict[str, Any]) -> tuple[str, dict[str, Figure | str]]:
    return build_report(given, PROVENANCE)


@pytest.fixture(scope="module")
def page(built: tuple[str, dict[str, Figure | str]]) -> str:
    return built[0]


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_every_tag_is_closed(reader: Reader) -> None:
    assert reader.open == []


def test_nothing_is_loaded_from_elsewhere(page: str, reader: Reader) -> None:
    assert not {"link", "img", "iframe"} & {tag for tag, _ in reader.tags}
    assert [attributes for tag, attributes in reader.tags if tag == "script"] == [{}]
    script = page.partition("<script>")[2].partition("</script>")[0]
    assert not re.search(r"https?:|fetch|XMLHttpRequest|WebSocket|import\b|sendBeacon", script)
    for tag, attributes in reader.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), tag
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_it_holds_what_the_run_found(
    reader: Reader, metrics: pd.DataFrame, findings: SimpleNamespace
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
    assert sum(tag == "svg" for tag, _ in reader.tags) == 12


def test_bold_marks_the_highest_of_a_column(page: str, metrics: pd.DataFrame) -> None:
    summary = summarize(metrics)
    own = summary[(summary.metric == "roc_auc") & (summary.scope == "pooled")]
    best = own.iloc[own["mean"].argmax()]
    assert f"<strong>{best['mean']:.3f} ± {best['sd']:.3f}</strong>" in page
    lowest = own.iloc[own["mean"].argmin()]
    assert f"<strong>{lowest['mean']:.3f} ± {lowest['sd']:.3f}</strong>" not in page


def test_tables_have_a_caption_and_heads_of_rows_and_columns(page: str, reader: Reader) -> None:
    tables = page.split("<table")[1:]
    assert len(tables) > 10
    for table in (own.partition("</table>")[0] for own in tables):
        assert re.search(r'<caption class="hidden">[^<]+</caption>', table)
        heads, _, body = table.partition("<tbody>")
        assert heads.count('<th scope="col">') == heads.count("<th") - heads.count("<thead")
        assert body.count('<th scope="row">') == body.count("<tr")
    captions = [table.partition("</caption>")[0].rpartition(">")[2] for table in tables]
    assert len(captions) == len(set(captions))


def test_every_figure_has_an_alternative_text_and_a_caption(page: str) -> None:
    figures = page.split("<figure")[1:]
    assert len(figures) == page.count("<svg")
    labels = []
    for own in (figure.partition("</figure>")[0] for figure in figures):
        (label,) = re.findall(r'^ role="img" aria-label="([^"]+)">\s*<svg', own)
        (caption,) = re.findall(r"<figcaption>([^<]+)</figcaption>", own)
        assert len(label.split()) > 4, label
        assert caption.endswith("."), caption
        labels.append(label)
    assert len(labels) == len(set(labels))


def test_text_in_figures_has_the_color_of_the_page(page: str) -> None:
    """Its contrast is that of the page's text; no paradigm's color is one to read."""
    texts = re.findall(r"<text ([^>]*)>", page)
    assert texts
    assert {"fill: currentColor" in style for style in texts} == {True}


def test_headings_are_in_order(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_row_of_a_model_can_be_filtered_by_its_strategy(page: str) -> None:
    choices = page.partition('<select id="strategy">')[2].partition("</select>")[0]
    assert re.findall(r"<option[^>]*>([^<]+)</option>", choices) == [
        "all strategies", "FedAvg", "FedProx",
    ]  # fmt: skip
    rows = re.findall(r'<tr data-strategy="([^"]*)"><th scope="row">([^<]+)</th>', page)
    known = {name: strategy for strategy, name in rows}
    assert known["Fine-tuned FedProx"] == "FedProx"
    assert known["Centralized"] == ""
    assert set(known.values()) == {"", "FedAvg", "FedProx"}


def test_ids_are_unique(reader: Reader) -> None:
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_input_gives_the_same_page(page: str, given: dict[str, Any]) -> None:
    assert build_report(given, PROVENANCE)[0] == page


def test_the_contents_lead_to_every_section(reader: Reader) -> None:
    linked = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    # too few countries have an interval for a line by size
    names = [section.name for section in shown() if section.name != "site_size"]
    assert linked == [f"#{name}" for name in names]
    titles = [attributes["id"] for tag, attributes in reader.tags if tag == "h2"]
    assert [f"#{name}" for name in titles] == linked


def test_figures_are_handed_on_as_they_were_drawn(
    given: dict[str, Any], built: tuple[str, dict[str, Figure | str]]
) -> None:
    page, drawn = built
    assert list(drawn) == [
        "all_trainings", "gain_by_country", "further_country", "reliability",
        "risk_distribution", "roc_and_pr", "net_benefit", "importance", "country_sizes",
        "learning_curves", "attrition", "attrition_by_country",
    ]  # fmt: skip
    for name, figure in drawn.items():
        assert isinstance(figure, str if name in given["flow_figures"] else Figure)
        assert (figure if isinstance(figure, str) else to_svg(figure, name)) in page


def test_every_printed_page_says_that_data_are_synthetic(page: str) -> None:
    """In the margin of the page, where it covers nothing."""
    assert re.search(r'@page \{ @top-center \{ content: "Synthetic data: no figure', page)


def test_data_of_ones_own_without_attrition_or_subgroups(given: dict[str, Any], page: str) -> None:
    unknown = ("attrition", "attrition_by_country", "prevalence")
    cohort = given["cohort_description"] | dict.fromkeys(unknown)
    cohort["source"] = {"kind": "own", "description": "Four hospitals", "site": "hospital"}
    changes = {
        "cohort_description": cohort,
        "flow_figures": {},
        "table1_notes": ["Data: Four hospitals."],
        "subgroup_metrics": given["subgroup_metrics"].iloc[:0],
        "operating_curves": given["operating_curves"].iloc[:0],
    }
    own, drawn = build_report(given | changes, PROVENANCE)
    assert "Synthetic data" not in own
    for title in ("Participant flow", "Prevalence under", ">Subgroups</h2>", "ROC and precision"):
        assert title in page
        assert title not in own
    assert "Data: Four hospitals." in own
    assert "Which paradigm serves which hospital" in own
    assert {"attrition", "roc_and_pr"}.isdisjoint(drawn)
    text = re.sub("<[^>]+>", " ", own.split('<h2 id="traffic"')[0])
    assert "each country" not in text.replace("draws the test patients of each country", "")


def test_gains_are_shown_where_something_was_compared(given: dict[str, Any], page: str) -> None:
    differences = given["differences"]
    local = {"differences": differences[differences["reference"] == "local"]}
    alone, drawn = build_report(only(given, "differences") | local, PROVENANCE)
    assert "Over local training" in alone
    assert "Over centralized training" in page
    assert "Over centralized training" not in alone
    assert drawn == {}


def test_odds_ratios_have_a_section_where_there_are_any(given: dict[str, Any], page: str) -> None:
    named = {"paradigm": "federated", "strategy": "logistic", "n_seeds": 1, "feature": "AGE_AT_0"}
    ratio = {"odds_ratio": 1.25, "odds_ratio_low": 0.5, "odds_ratio_high": 3.0}
    pair = {"n_together": 1, "compared": "quartiles", "reference": 30.0, "value": 45.0}
    line = {"reference": 30.0, "value": [20.0, 30.0, 45.0], "share": [0.2, 0.5, 1.0]}
    tables = {
        "odds_ratios": pd.DataFrame([named | pair | ratio | {"log_odds_ratio": 0.2}]),
        "shape_curves": pd.DataFrame(
            {**named, **line, "log_odds_ratio": 0.1, "low": 0.0, "high": 0.2}
        ),
        "site_intercepts": pd.DataFrame(),
    }
    with_section, drawn = build_report(only(given) | tables, PROVENANCE)
    title = "Odds ratios of the logistic regression"
    for text in (title, "45 against 30 years", "1.25 [0.50,\xa03.00]"):
        assert text in with_section
        assert text not in page
    assert list(drawn) == ["odds_ratios", "shape_curves"]
    cut = {"odds_ratios": tables["odds_ratios"].iloc[:0]}
    assert title not in build_report(only(given) | tables | cut, PROVENANCE)[0]


def test_countries_that_were_left_out_have_a_section_where_there_are_any(
    given: dict[str, Any], page: str
) -> None:
    names = ("new_country_estimates", "new_country_differences")
    left_out = dict(zip(names, tables(0.05, 0.01, 0.09), strict=True))
    with_section, drawn = build_report(only(given) | left_out, PROVENANCE)
    for text in ("A country that never took part", "one after the other: the model of the others"):
        assert text in with_section
        assert text not in page
    assert list(drawn) == ["new_country"]
