"""Forest plot, ROC and precision-recall curves, reliability and net benefit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ms_pfl.evaluation.decision import TREAT_ALL
from ms_pfl.evaluation.recalibration import RECALIBRATED
from ms_pfl.paradigms import color_of, model_key, paradigm_name, strategy_name
from ms_pfl.reporting.figures import INK, short_name, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GRAY = "#808080"
_WIDEST = 0.35  # of the forest plot's axis, on either side of 0


def of_strategy(table: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """The rows of a strategy, and of the paradigms that have none to choose."""
    return table[table["strategy"].isin([strategy, "pooled", "none", ""])]


@styled
def forest(differences: pd.DataFrame, countries: pd.DataFrame) -> Figure:
    """Draw each country's gain in ROC-AUC over federated training, a panel a strategy.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.inference.planned_differences`.
        countries: the table of :func:`ms_pfl.reporting.tables.country_table`; the largest country
            comes first. The point is the mean over seeds, the line its 95 % interval; an arrow
            shows where it goes on, and a hollow point has none. Countries with one class in every
            seed are left out.
    """
    from matplotlib.figure import Figure

    known = differences[
        (differences["reference"] == "federated")
        & (differences["metric"] == "roc_auc")
        & (differences["scope"] == "country")
        & ~differences["paradigm"].isin(RECALIBRATED)
    ].dropna(subset=["difference"])
    shown = countries[countries["country"].isin(known["country"])].reset_index(drop=True)
    strategies = list(dict.fromkeys(known["strategy"])) or [""]
    width = 3.2 if len(strategies) < 4 else 2.1
    figure = Figure(
        figsize=(max(5.0, 1.6 + width * len(strategies)), 1.3 + 0.26 * len(shown)),
        layout="constrained",
    )
    panels = figure.subplots(1, len(strategies), sharey=True, sharex=True, squeeze=False)[0]
    position = {country: i for i, country in enumerate(shown["country"])}
    shown_values = known[["difference", "low", "high"]].to_numpy(dtype=np.float64)
    reach = max(0.02, float(np.nanmax(np.abs(shown_values), initial=0.0)))
    limit = min(1.05 * float(reach), _WIDEST)
    for axes, strategy in zip(panels, strategies, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        own = known[known["strategy"] == strategy]
        paradigms = sorted(own["paradigm"].unique(), key=lambda name: model_key(name, ""))
        for i, paradigm in enumerate(paradigms):
            mine = own[own["paradigm"] == paradigm]
            rows = np.array([position[str(country)] for country in mine["country"]], dtype=float)
            rows += 0.34 * (i - (len(paradigms) - 1) / 2)
            color = color_of(paradigm)
            value, low, high = (
                mine[name].to_numpy().clip(-limit, limit) for name in ("difference", "low", "high")
            )
            axes.hlines(rows, low, high, color=color, linewidth=1.1)
            sure = mine["low"].notna().to_numpy()
            axes.plot(
                value[sure], rows[sure], "o", color=color, markersize=3.5,
                label=paradigm_name(paradigm),
            )  # fmt: skip
            axes.plot(value[~sure], rows[~sure], "o", color=color, markersize=3.5, mfc="none")
            for side, marker, beyond in (
                (-limit, "<", mine["low"] < -limit),
                (limit, ">", mine["high"] > limit),
            ):
                cut = rows[beyond.to_numpy()]
                axes.plot(np.full(len(cut), side), cut, marker, color=color, markersize=4)
        axes.set(title=strategy_name(strategy), xlabel="gain in ROC-AUC")
        axes.set_xlim(-limit, limit)
    labels = [f"{short_name(row.country)} ({row.n_episodes:,})" for row in shown.itertuples()]
    panels[0].set_yticks(range(len(shown)), labels)
    panels[0].set_ylim(len(shown) - 0.3, -0.7)
    handles, names = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=len(handles))
    return figure


@styled
def roc_and_pr(curves: pd.DataFrame, prevalence: float, strategy: str) -> Figure:
    """Draw ROC and precision-recall curves, a line a paradigm.

    Args:
        curves: the table of :func:`ms_pfl.evaluation.curves.operating_curves`.
        prevalence: share of test episodes with the outcome: the precision of no skill.
        strategy: the federated strategy that is shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    own = of_strategy(curves, strategy)
    own = own[own["paradigm"] != "recalibrated_slope"]
    for paradigm in sorted(own["paradigm"].unique(), key=lambda name: model_key(name, "")):
        for axes, curve in ((roc, "roc"), (pr, "pr")):
            line = own[(own["paradigm"] == paradigm) & (own["curve"] == curve)]
            axes.plot(
                line["x"],
                line["y"],
                color=color_of(paradigm),
                linestyle="--" if paradigm in RECALIBRATED else "-",
                linewidth=1.3,
                label=paradigm_name(paradigm),
            )
    roc.plot([0, 1], [0, 1], ":", color=INK, linewidth=0.8)
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    pr.axhline(prevalence, linestyle=":", color=INK, linewidth=0.8)
    pr.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    for axes in (roc, pr):
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        axes.set_box_aspect(1)
    handles, names = roc.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


@styled
def reliability_diagrams(bins: pd.DataFrame, strategy: str) -> Figure:
    """Draw observed against predicted risk in bins of equally many episodes, a panel a paradigm.

    Args:
        bins: the table of :func:`ms_pfl.evaluation.curves.reliability_bins`.
        strategy: the federated strategy that is shown.
    """
    from matplotlib.figure import Figure

    own = of_strategy(bins, strategy)
    paradigms = sorted(own["paradigm"].unique(), key=lambda name: model_key(name, ""))
    columns = min(4, max(1, len(paradigms)))
    lines = -(-max(1, len(paradigms)) // columns)
    figure = Figure(figsize=(2.3 * columns, 2.5 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    top = float(own[["predicted", "observed"]].max().max()) if len(own) else 1.0
    limit = min(1.0, 1.08 * top)
    for axes in grid.ravel()[len(paradigms) :]:
        axes.set_axis_off()
    for axes, paradigm in zip(grid.ravel(), paradigms, strict=False):
        mine = own[own["paradigm"] == paradigm]
        axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=0.8)
        color = color_of(paradigm)
        axes.plot(mine["predicted"], mine["observed"], "o-", color=color, markersize=4, linewidth=1)
        axes.set_title(paradigm_name(paradigm))
        axes.set_xlim(0, limit)
        axes.set_ylim(0, limit)
        axes.set_box_aspect(1)
    figure.supxlabel("predicted risk", fontsize=9, color=INK)
    figure.supylabel("observed share", fontsize=9, color=INK)
    return figure


@styled
def decision_curve(net_benefit: pd.DataFrame, strategy: str) -> Figure:
    """Draw net benefit over thresholds, with the interval of the federated model.

    Args:
        net_benefit: the table of :func:`ms_pfl.evaluation.decision.decision_curves`.
        strategy: the federated strategy that is shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    own = of_strategy(net_benefit, strategy)
    own = own[own["paradigm"] != "recalibrated_slope"]
    everybody = own[own["paradigm"] == TREAT_ALL[0]]
    models = own[own["paradigm"] != TREAT_ALL[0]]
    for paradigm in sorted(models["paradigm"].unique(), key=lambda name: model_key(name, "")):
        line = models[models["paradigm"] == paradigm]
        color = color_of(paradigm)
        style = "--" if paradigm in RECALIBRATED else "-"
        axes.plot(
            line["threshold"], line["net_benefit"], style, color=color, linewidth=1.3,
            label=paradigm_name(paradigm),
        )  # fmt: skip
        if paradigm == "federated":
            axes.fill_between(
                line["threshold"], line["low"], line["high"], color=color, alpha=0.2, linewidth=0
            )
    axes.plot(
        everybody["threshold"], everybody["net_benefit"], ":", color=INK, linewidth=1,
        label="Act on everybody",
    )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8, label="Act on nobody")
    top = float(own["net_benefit"].max()) if len(own) else 0.1
    axes.set_ylim(-0.35 * max(top, 0.02), 1.15 * max(top, 0.02))
    axes.set(xlabel="risk from which on one would act", ylabel="net benefit")
    figure.legend(loc="outside lower center", ncols=4)
    return figure
