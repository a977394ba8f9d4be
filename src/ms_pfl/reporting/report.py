"""The HTML report: one file that opens anywhere and loads nothing from elsewhere."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pandas as pd

from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.evaluation.names import HIGHER_IS_BETTER
from ms_pfl.evaluation.recalibration import RECALIBRATED
from ms_pfl.paradigms import STRATEGIES, strategy_name
from ms_pfl.reporting import attrition, curve_figures, figures
from ms_pfl.reporting.comparison_tables import (
    calibration_table,
    choice_table,
    fairness_table,
    gains_table,
    subgroup_table,
)
from ms_pfl.reporting.tables import (
    notes,
    per_country_table,
    prevalence_table,
    site_words,
    table1,
    traffic_table,
    trained_models,
)
from ms_pfl.reporting.tripod import tripod_items
from ms_pfl.studies.attribution.show import (
    attribution_sentences,
    draw_importance,
    standing_out_table,
)
from ms_pfl.studies.unseen_site.show import (
    learning_curve,
    new_country_sentences,
    new_country_table,
)

if TYPE_CHECKING:
    from markupsafe import Markup

_PACKAGES = ("ms_pfl", "kedro", "flwr", "ray", "torch", "scikit-learn", "pandas", "numpy", "mlflow")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


@dataclass(frozen=True)
class Findings:
    """The tables that a report is made from, named as the datasets that hold them."""

    headline: Sequence[str]
    summary: pd.DataFrame
    coverage: pd.DataFrame
    estimates: pd.DataFrame
    differences: pd.DataFrame
    fairness: pd.DataFrame
    net_benefit: pd.DataFrame
    subgroup_metrics: pd.DataFrame
    operating_curves: pd.DataFrame
    reliability: pd.DataFrame
    importance: pd.DataFrame
    attribution_by_country: pd.DataFrame
    history: pd.DataFrame
    new_country: tuple[pd.DataFrame, pd.DataFrame] | None = None
    """What :func:`ms_pfl.studies.unseen_site.compare.measure` gives, where it has been asked."""


def build_report(
    findings: Findings,
    cohort: Mapping[str, Any],
    split_counts: pd.DataFrame,
    configuration: Mapping[str, Any],
    provenance: Mapping[str, str],
    versions: Mapping[str, str] | None = None,
) -> str:
    """Write the report of a run as one self-contained HTML page.

    The same input gives the same characters: no time, no path, no random id is in it.

    Args:
        findings: the tables.
        cohort: what the results stand on: ``source`` (``kind``, ``description`` and, where it is no
            country, ``site`` of the data),
            ``countries`` (rows of :func:`ms_pfl.reporting.tables.country_table`), ``attrition``
            and ``attrition_by_country`` (rows of :mod:`ms_pfl.reporting.attrition`) and
            ``prevalence`` (rows); the last three None for data that came as episodes.
        split_counts: as for :func:`ms_pfl.reporting.tables.notes`.
        configuration: the parameters of the run.
        provenance: ``data`` and ``code``, digests of the episodes and of the source.
        versions: of the packages; what is installed when left out.

    Returns:
        The HTML text.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    source = cohort["source"]
    site, sites = site_words(source)
    countries = pd.DataFrame(cohort["countries"])
    summary, differences = findings.summary, findings.differences
    strategy = shown_strategy(summary)
    protocol = configuration.get("training", {}).get("protocol", {})
    environment = Environment(
        loader=PackageLoader("ms_pfl.reporting", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        synthetic=source.get("kind") == "synthetic",
        source=source,
        site=site,
        sites=sites,
        strategy=strategy_name(strategy),
        headline=findings.headline,
        notes=notes(
            findings.coverage,
            source,
            split_counts,
            protocol,
        ),
        table1=_table(table1(summary)),
        bold1=_best_cells(summary, ("roc_auc", "pr_auc")),
        gains={
            reference: _table(gains_table(differences, reference))
            for reference in ("federated", "local", "centralized", "recalibrated")
            if (differences["reference"] == reference).any()
        },
        calibration=_table(calibration_table(findings.estimates)),
        choice=_table(choice_table(differences, countries, site, strategy)),
        per_country=_table(per_country_table(summary, countries, site=site)),
        fairness=_table(fairness_table(findings.fairness)),
        subgroups=_subgroups(findings.subgroup_metrics),
        attribution={
            "sentences": attribution_sentences(
                findings.importance, findings.attribution_by_country, (site, sites)
            ),
            "table": _table(standing_out_table(findings.attribution_by_country, site)),
        },
        new_country=None
        if findings.new_country is None
        else {
            "sentences": new_country_sentences(*findings.new_country, (site, sites)),
            "table": _table(new_country_table(*findings.new_country)),
        },
        pictures=_pictures(findings, countries, (site, sites), strategy),
        flow=None if cohort["attrition"] is None else _flow(cohort),
        traffic=_table(traffic_table(findings.history, site)),
        tripod=tripod_items(source, findings.coverage, countries, configuration, provenance),
        configuration=json.dumps(configuration, indent=2, default=str, ensure_ascii=False),
        provenance=dict(provenance),
        versions=dict(versions or installed_versions()),
    )


def shown_strategy(table: pd.DataFrame) -> str:
    """The federated strategy that single figures show: the first in the order of Table 1."""
    known = set(table.loc[table["paradigm"] == "federated", "strategy"]) or set(table["strategy"])
    return next((name for name in STRATEGIES if name in known), min(known))


def _embed(figure: Any, name: str) -> Markup:
    from markupsafe import Markup

    # matplotlib has escaped the country names in it
    return Markup(figures.to_svg(figure, name))


def _pictures(
    findings: Findings, countries: pd.DataFrame, site: tuple[str, str], strategy: str
) -> dict[str, Markup]:
    """Figures as SVG, by name; those that have something to show."""
    drawn = {
        "sizes": figures.country_sizes(countries, site),
        "curves": figures.learning_curves(learning_curves(findings.history)),
        "reliability": curve_figures.reliability_diagrams(findings.reliability, strategy),
        "benefit": curve_figures.decision_curve(findings.net_benefit, strategy),
        "importance": draw_importance(findings.importance, findings.attribution_by_country),
    }
    if findings.new_country is not None:
        drawn["new_country"] = learning_curve(findings.new_country[0])
    by_country = findings.differences[findings.differences["scope"] == "country"]
    if (by_country["reference"] == "federated").any():
        drawn["forest"] = curve_figures.forest(findings.differences, countries)
    if len(findings.operating_curves):
        prevalence = (findings.coverage["n_positive"] / findings.coverage["n_episodes"]).mean()
        drawn["roc"] = curve_figures.roc_and_pr(
            findings.operating_curves, float(prevalence), strategy
        )
    return {name: _embed(figure, name) for name, figure in drawn.items()}


def _subgroups(subgroups: pd.DataFrame) -> dict[str, dict[str, list[Any]]] | None:
    if subgroups.empty:
        return None
    return {
        "ROC-AUC": _table(subgroup_table(subgroups, "roc_auc")),
        "Observed over expected": _table(subgroup_table(subgroups, "observed_expected")),
    }


def _flow(cohort: Mapping[str, Any]) -> dict[str, Any]:
    """Figures and tables of the way from the registry to the episodes."""
    stages = pd.DataFrame(cohort["attrition"])
    by_country = pd.DataFrame(cohort["attrition_by_country"])
    n_positive = sum(row["n_positive"] for row in cohort["countries"])
    return {
        "diagram": _embed(attrition.flow_diagram(stages, n_positive), "flow"),
        "losses": _embed(attrition.losses_by_country(by_country), "losses"),
        "table": _table(attrition.readable_flow(stages)),
        "by_country": _table(attrition.flow_by_country(by_country)),
        "prevalence": _table(prevalence_table(pd.DataFrame(cohort["prevalence"]))),
    }


def _table(table: pd.DataFrame) -> dict[str, list[Any]]:
    return {
        "columns": [str(name) for name in table.columns],
        "rows": [[str(cell) for cell in row] for row in table.to_numpy(dtype=object)],
    }


def _best_cells(summary: pd.DataFrame, metrics: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return (row, column) of the best mean of each column of Table 1, ties all of them."""
    summary = summary[~summary["paradigm"].isin(RECALIBRATED)]
    models = trained_models(summary)
    cells = []
    columns = [(metric, scope) for metric in metrics for scope in ("pooled", "macro", "weighted")]
    for column, (metric, scope) in enumerate(columns, start=1):
        own = summary[(summary["metric"] == metric) & (summary["scope"] == scope)]
        best = own["mean"].max() if HIGHER_IS_BETTER[metric] else own["mean"].min()
        for row in own[own["mean"] == best].itertuples(index=False):
            cells.append((models.index((row.paradigm, row.strategy)), column))
    return cells
