"""Calibration of every model: the table, the curves, and the distribution of risks by outcome."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import color_of, models_in_order, paradigm_name
from ms_pfl.reporting.content import About, Content, Picture, Table, note
from ms_pfl.reporting.figures import INK, of_strategy, styled
from ms_pfl.reporting.words import model_rows, paradigms_in_order, rows_by, with_interval


def calibration(
    about: About,
    estimates: pd.DataFrame,
    reliability: pd.DataFrame,
    risk_distribution: pd.DataFrame,
) -> Content:
    """Show every model's calibration, and of one strategy its curves and the risks by outcome."""
    limit = highest_risk(of_strategy(risk_distribution, about.strategy))
    beyond = f" Risks above {limit:.2f}, at most 0.5 % of a paradigm's, are not shown."
    beyond = beyond if limit < 1 else ""
    return [
        Table(calibration_table(estimates)),
        note(
            about.fill(
                "All {sites} together, 95 % intervals in brackets. Lower is better for Brier "
                "score, log-loss and calibration error (ten bins of equally many episodes; a "
                "point estimate, because resampling inflates it). Intercept: 0 is right on "
                "average, above 0 risks are too low. Slope: 1 is right, below 1 risks are spread "
                "too far. Recalibrated: the federated model's risks, corrected by an intercept "
                "(and a slope) per {site} that was fitted on its validation predictions."
            )
        ),
        Picture(
            "reliability",
            reliability_diagrams(reliability, about.strategy),
            about.fill(
                "Calibration curves, one panel per paradigm ({strategy}): observed share with the "
                "outcome against predicted risk. The table above has intercept and slope."
            ),
            about.fill(
                "Calibration ({strategy}): observed share against predicted risk in ten bins of "
                "equally many test episodes, seeds together. On the dotted line predictions are "
                "right."
            ),
        ),
        Picture(
            "risk_distribution",
            risk_histograms(risk_distribution, about.strategy),
            about.fill(
                "Histograms of the predicted risk, one panel per paradigm ({strategy}): test "
                "episodes with the outcome against those without it."
            ),
            about.fill(
                "Distribution of predicted risks by outcome ({strategy}): share of the test "
                "episodes with the outcome (line) and of those without it (gray area) in each bin "
                "of risk, seeds together. The less the two overlap, the better the model "
                "discriminates; where there are few episodes, the curve above is uncertain."
            )
            + beyond,
        ),
    ]


def calibration_table(estimates: pd.DataFrame) -> pd.DataFrame:
    """Lay out the calibration of every model, all countries together.

    Args:
        estimates: the table of :func:`ms_pfl.evaluation.differences.add_intervals`.

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
    """Draw observed against predicted risk in bins of equally many episodes, a panel per paradigm.

    Args:
        bins: the table of :func:`ms_pfl.evaluation.curves.reliability_bins`.
        strategy: the federated strategy that is shown.
    """
    own = of_strategy(bins, strategy)
    paradigms = paradigms_in_order(own)
    figure, panels = _panels(len(paradigms), 2.5)
    top = float(own[["predicted", "observed"]].max().max()) if len(own) else 1.0
    limit = min(1.0, 1.08 * top)
    for axes, paradigm in zip(panels, paradigms, strict=False):
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


@styled
def risk_histograms(distribution: pd.DataFrame, strategy: str) -> Figure:
    """Draw the distribution of predicted risks by outcome, a panel per paradigm.

    Args:
        distribution: the table of :func:`ms_pfl.evaluation.curves.risk_distribution`. Each outcome
            is drawn as shares of its own episodes: the rarer one would else be a flat line.
        strategy: the federated strategy that is shown.
    """
    own = of_strategy(distribution, strategy)
    paradigms = paradigms_in_order(own)
    figure, panels = _panels(len(paradigms), 1.7)
    limit, top = highest_risk(own), 0.0
    for axes, paradigm in zip(panels, paradigms, strict=False):
        for label, color, width in ((0, INK, 0.8), (1, color_of(paradigm), 1.4)):
            rows = own[(own["paradigm"] == paradigm) & (own["label"] == label)]
            share, edges = rows["n"] / max(1, rows["n"].sum()), [*rows["low"], 1.0]
            if label == 0:
                axes.stairs(share, edges, color=INK, fill=True, alpha=0.15, linewidth=0)
            axes.stairs(share, edges, color=color, linewidth=width)
            top = max(top, float(share.max()) if len(share) else 0.0)
        axes.set(title=paradigm_name(paradigm), xlim=(0, limit))
    panels[0].set_ylim(0, 1.05 * top or 1)
    handles = [
        Line2D(
            [], [], color=INK, linewidth=1.4, label="with the outcome (in the paradigm's color)"
        ),
        Patch(
            facecolor=to_rgba(INK, 0.15), edgecolor=INK, linewidth=0.8, label="without the outcome"
        ),
    ]
    figure.supxlabel("predicted risk", fontsize=9, color=INK)
    figure.supylabel("share of episodes", fontsize=9, color=INK)
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def highest_risk(distribution: pd.DataFrame) -> float:
    """Return the end of the bin up to which each paradigm has at least 99.5 % of its episodes."""
    counts = distribution.groupby(["paradigm", "high"])["n"].sum().unstack()
    shares = counts.cumsum(axis=1).div(counts.sum(axis=1), axis=0)
    enough = shares.columns[(shares >= 0.995).all()]
    return float(enough[0]) if len(enough) else 1.0


def _panels(number: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each of some paradigms, four in a row, on the same axes."""
    columns = min(4, max(1, number))
    lines = -(-max(1, number) // columns)
    figure = Figure(figsize=(2.3 * columns, height * lines + 0.4), layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel())
    for axes in panels[number:]:
        axes.set_axis_off()
    return figure, panels
