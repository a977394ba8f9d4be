"""Risks as they are: calibration, ROC and precision-recall curves, and net benefit."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ms_pfl.evaluation.calibration import RECALIBRATED
from ms_pfl.evaluation.curves import TREAT_ALL
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import color_of, models_in_order, paradigm_name
from ms_pfl.reporting.content import About, Content, Picture, Table, note
from ms_pfl.reporting.figures import INK, legend_below, of_strategy, styled
from ms_pfl.reporting.words import model_rows, paradigms_in_order, rows_by, with_interval


def calibration(about: About, estimates: pd.DataFrame, reliability: pd.DataFrame) -> Content:
    """Show the calibration of every model, and reliability diagrams of one strategy."""
    return [
        Table(calibration_table(estimates)),
        note(
            about.fill(
                "All {sites} together, 95 % intervals in brackets. Lower is better for Brier "
                "score, log-loss and calibration error (ten bins of equally many episodes; a "
                "point estimate, because resampling inflates it). Intercept: 0 is right on "
                "average, above 0 risks are too low. Slope: 1 is right, below 1 risks are spread "
                "too far. Recalibrated: the federated model's risks, corrected by an intercept "
                "(and a slope) a {site} that was fitted on its validation predictions."
            )
        ),
        Picture(
            "reliability",
            reliability_diagrams(reliability, about.strategy),
            "Observed against predicted risk",
            about.fill(
                "Reliability ({strategy}): observed share against predicted risk in ten bins of "
                "equally many test episodes, seeds together. On the dotted line predictions are "
                "right."
            ),
        ),
    ]


def calibration_table(estimates: pd.DataFrame) -> pd.DataFrame:
    """Lay out the calibration of every model, all countries together.

    Args:
        estimates: the table of :func:`ms_pfl.evaluation.inference.add_intervals`.

    Returns:
        Text cells, one row per model: ``Model``, Brier score, log-loss, calibration error,
        intercept, slope, observed over expected; intervals in brackets where there are any.
    """
    own = estimates[estimates["scope"] == "pooled"]
    found = rows_by(own, "paradigm", "strategy", "metric")
    return model_rows(
        models_in_order(own),
        lambda model: {
            metric.label: with_interval(found[*model, metric.name], metric.digits)
            for metric in METRICS.values()
            if metric.best != "high"
        },
    )


@styled
def reliability_diagrams(bins: pd.DataFrame, strategy: str) -> Figure:
    """Draw observed against predicted risk in bins of equally many episodes, a panel a paradigm.

    Args:
        bins: the table of :func:`ms_pfl.evaluation.curves.reliability_bins`.
        strategy: the federated strategy that is shown.
    """
    own = of_strategy(bins, strategy)
    paradigms = paradigms_in_order(own)
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
        axes.plot(
            mine["predicted"], mine["observed"], "o-", color=color_of(paradigm), markersize=4,
            linewidth=1,
        )  # fmt: skip
        axes.set(title=paradigm_name(paradigm), xlim=(0, limit), ylim=(0, limit), box_aspect=1)
    figure.supxlabel("predicted risk", fontsize=9, color=INK)
    figure.supylabel("observed share", fontsize=9, color=INK)
    return figure


def curves(about: About, operating_curves: pd.DataFrame, coverage: pd.DataFrame) -> Content | None:
    """Show ROC and precision-recall curves of one strategy; None where no model has any."""
    if operating_curves.empty:
        return None
    prevalence = float((coverage["n_positive"] / coverage["n_episodes"]).mean())
    return [
        Picture(
            "roc_and_pr",
            roc_and_pr(operating_curves, prevalence, about.strategy),
            "ROC and precision-recall curves",
            about.fill(
                "All {sites} together, mean over seeds ({strategy}). Dotted: no skill. "
                "Recalibration by {site} changes the order of patients of different {sites} only."
            ),
        )
    ]


def decisions(about: About, net_benefit: pd.DataFrame) -> Content:
    """Show the net benefit of one strategy over thresholds."""
    return [
        Picture(
            "net_benefit",
            decision_curve(net_benefit, about.strategy),
            "Net benefit over thresholds",
            about.fill(
                "Net benefit ({strategy}): true positives minus false positives weighted by the "
                "odds of the threshold, a test episode. A model is of use where it lies above "
                "acting on everybody and on nobody. Shaded: 95 % interval of the federated model."
            ),
        )
    ]


@styled
def roc_and_pr(curves: pd.DataFrame, prevalence: float, strategy: str) -> Figure:
    """Draw ROC and precision-recall curves, a line a paradigm.

    Args:
        curves: the table of :func:`ms_pfl.evaluation.curves.operating_curves`.
        prevalence: share of test episodes with the outcome: the precision of no skill.
        strategy: the federated strategy that is shown.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    own = of_strategy(curves, strategy)
    own = own[own["paradigm"] != "recalibrated_slope"]
    for paradigm in paradigms_in_order(own):
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
        axes.set(xlim=(0, 1), ylim=(0, 1.01), box_aspect=1)
    legend_below(figure, roc, 3)
    return figure


@styled
def decision_curve(net_benefit: pd.DataFrame, strategy: str) -> Figure:
    """Draw net benefit over thresholds, with the interval of the federated model.

    Args:
        net_benefit: the table of :func:`ms_pfl.evaluation.curves.decision_curves`.
        strategy: the federated strategy that is shown.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    own = of_strategy(net_benefit, strategy)
    own = own[own["paradigm"] != "recalibrated_slope"]
    everybody = own[own["paradigm"] == TREAT_ALL[0]]
    models = own[own["paradigm"] != TREAT_ALL[0]]
    for paradigm in paradigms_in_order(models):
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
    axes.set(
        xlabel="risk from which on one would act",
        ylabel="net benefit",
        ylim=(-0.35 * max(top, 0.02), 1.15 * max(top, 0.02)),
    )
    figure.legend(loc="outside lower center", ncols=4)
    return figure
