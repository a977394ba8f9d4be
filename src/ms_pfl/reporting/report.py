"""The HTML report: one file that opens anywhere and loads nothing from elsewhere."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import pandas as pd

from ms_pfl.evaluation.comparison import gains
from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.evaluation.names import HIGHER_IS_BETTER, models_in_order
from ms_pfl.reporting import attrition, figures
from ms_pfl.reporting.headline import headline
from ms_pfl.reporting.tables import (
    notes,
    per_country_table,
    prevalence_table,
    site_words,
    table1,
    traffic_table,
)

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


def build_report(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    history: pd.DataFrame,
    cohort: Mapping[str, Any],
    split_counts: pd.DataFrame,
    configuration: Mapping[str, Any],
    versions: Mapping[str, str] | None = None,
) -> str:
    """Write the report of a run as one self-contained HTML page.

    The same input gives the same characters: no time, no path, no random id is in it.

    Args:
        metrics: the table of :func:`ms_pfl.evaluation.scoring.score`.
        summary: the table of :func:`ms_pfl.evaluation.comparison.summarize`.
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.
        history: the concatenated history tables of all fits.
        cohort: what the results stand on: ``source`` (``kind``, ``description`` and, where it is no
            country, ``site`` of the data),
            ``countries`` (rows of :func:`ms_pfl.reporting.tables.country_table`), ``attrition``
            and ``attrition_by_country`` (rows of :mod:`ms_pfl.reporting.attrition`) and
            ``prevalence`` (rows); the last three None for data that came as episodes.
        split_counts: as for :func:`ms_pfl.reporting.tables.notes`.
        configuration: the parameters of the run.
        versions: of the packages; what is installed when left out.

    Returns:
        The HTML text.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    def embed(figure: Any, name: str) -> Markup:
        # matplotlib has escaped the country names in it
        return Markup(figures.to_svg(figure, name))

    source = cohort["source"]
    site, sites = site_words(source)
    countries = pd.DataFrame(cohort["countries"])
    gain = gains(metrics, "federated", "roc_auc", "country")
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
        headline=headline(metrics, summary),
        notes=notes(coverage, source, split_counts, configuration.get("protocol", {})),
        table1=_table(table1(summary)),
        table2=_table(table1(summary, ("brier", "log_loss"))),
        bold1=_best_cells(summary, ("roc_auc", "pr_auc")),
        bold2=_best_cells(summary, ("brier", "log_loss")),
        per_country=_table(per_country_table(summary, countries, site=site)),
        flow=None if cohort["attrition"] is None else _flow(cohort, embed),
        sizes_figure=embed(figures.country_sizes(countries, (site, sites)), "sizes"),
        curves_figure=embed(figures.learning_curves(learning_curves(history)), "curves"),
        traffic=_table(traffic_table(history, site)),
        gain_figure=embed(figures.gain_by_country(gain, countries), "gain")
        if gain["gain"].notna().any()
        else None,
        configuration=json.dumps(configuration, indent=2, default=str, ensure_ascii=False),
        versions=dict(versions or installed_versions()),
    )


def _flow(cohort: Mapping[str, Any], embed: Callable[[Any, str], Any]) -> dict[str, Any]:
    """Figures and tables of the way from the registry to the episodes."""
    stages = pd.DataFrame(cohort["attrition"])
    by_country = pd.DataFrame(cohort["attrition_by_country"])
    n_positive = sum(row["n_positive"] for row in cohort["countries"])
    return {
        "diagram": embed(attrition.flow_diagram(stages, n_positive), "flow"),
        "losses": embed(attrition.losses_by_country(by_country), "losses"),
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
    models = models_in_order(summary)
    cells = []
    columns = [(metric, scope) for metric in metrics for scope in ("pooled", "macro", "weighted")]
    for column, (metric, scope) in enumerate(columns, start=1):
        own = summary[(summary["metric"] == metric) & (summary["scope"] == scope)]
        best = own["mean"].max() if HIGHER_IS_BETTER[metric] else own["mean"].min()
        for row in own[own["mean"] == best].itertuples(index=False):
            cells.append((models.index((row.paradigm, row.strategy)), column))
    return cells
