"""The trainings: validation scores by round, and what travelled between server and sites."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ms_pfl.evaluation import curves
from ms_pfl.paradigms import (
    model_name,
    models_in_order,
    paradigm_name,
    strategy_name,
    trains_in_rounds,
)
from ms_pfl.reporting.content import About, Content, Picture, Table, Text
from ms_pfl.reporting.figures import styled
from ms_pfl.reporting.words import MISSING, paradigms_in_order

_STRATEGY_COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"]


def learning(about: About, history: pd.DataFrame) -> Content:
    """Show validation scores by round."""
    return [
        Picture(
            "learning_curves",
            draw_learning_curves(curves.learning_curves(history)),
            "Validation log-loss and ROC-AUC by round",
            about.fill(
                "Validation scores weighted by each {site}'s validation episodes, one line a seed. "
                "A dot marks the round whose weights are used, where it is the same for all "
                "{sites}; a {site} that stopped earlier counts on with the epoch it uses."
            ),
        )
    ]


def traffic(about: About, history: pd.DataFrame) -> Content:
    """Show what travels in training."""
    return [
        Text(
            about.fill(
                "Arrays between the server and each {site} in training, as they go over the wire. "
                "Patients' rows never do, but for centralized training, which is what it would be "
                "to pool them. A round is one message each way; the one that follows the last "
                "round and only scores is counted with it."
            )
        ),
        Table(traffic_table(history, about.site)),
    ]


def traffic_table(history: pd.DataFrame, site: str = "country") -> pd.DataFrame:
    """Lay out what travels between the server and the sites in training, as text for a page.

    Args:
        history: the concatenated history tables of all fits.
        site: what a country is called.

    Returns:
        A row a model: ``Model``, ``Rounds`` (of a federation, lowest to highest over seeds), kB up
        and down a site and round (means over its messages), MB in all a seed.
    """
    rows = []
    for paradigm, strategy in models_in_order(history):
        own = history[(history["paradigm"] == paradigm) & (history["strategy"] == strategy)]
        last = own.groupby("seed")["round"].max()
        ends = dict.fromkeys([str(last.min()), str(last.max())])
        total = (own["bytes_up"] + own["bytes_down"]).sum() / len(last) / 1e6
        rounds = " to ".join(ends) if trains_in_rounds(paradigm) else MISSING
        cells = {"Model": model_name(paradigm, strategy), "Rounds": rounds}
        for name, column in (("up", "bytes_up"), ("down", "bytes_down")):
            sent = own.loc[own[column] > 0, column]
            cells[f"kB {name} a {site} and round"] = (
                f"{sent.mean() / 1e3:,.1f}" if len(sent) else MISSING
            )
        rows.append(cells | {"MB in all, a seed": f"{total:,.1f}" if total else MISSING})
    return pd.DataFrame(rows, dtype="str")


@styled
def draw_learning_curves(curves: pd.DataFrame) -> Figure:
    """Draw validation log-loss and ROC-AUC over rounds: a column a paradigm, a line a seed.

    Args:
        curves: the table of :func:`ms_pfl.evaluation.curves.learning_curves`. A dot marks the
            round whose weights are used, where that is one for all countries.
    """
    paradigms = paradigms_in_order(curves)
    known = dict.fromkeys(strategy for _, strategy in models_in_order(curves))
    strategies = [strategy for strategy in known if strategy_name(strategy)]
    colors = {s: _STRATEGY_COLORS[i % len(_STRATEGY_COLORS)] for i, s in enumerate(strategies)}
    figure = Figure(figsize=(max(4.0, 2.1 * len(paradigms)), 4.4), layout="constrained")
    grid = figure.subplots(2, len(paradigms), sharex="col", sharey="row", squeeze=False)
    measures = ["validation_log_loss", "validation_roc_auc"]
    for column, paradigm in enumerate(paradigms):
        own = curves[curves["paradigm"] == paradigm]
        for (strategy, _), line in own.groupby(["strategy", "seed"], sort=True):
            color = colors.get(str(strategy), "#808080")
            used = line[line["selected"].astype(bool)]
            for axes, measure in zip(grid[:, column], measures, strict=True):
                axes.plot(line["round"], line[measure], color=color, linewidth=1, alpha=0.85)
                axes.plot(used["round"], used[measure], "o", color=color, markersize=4)
        grid[0, column].set_title(paradigm_name(paradigm))
        grid[1, column].set_xlabel("round" if trains_in_rounds(paradigm) else "epoch")
        grid[1, column].xaxis.get_major_locator().set_params(integer=True)
    grid[0, 0].set_ylabel("validation log-loss")
    grid[1, 0].set_ylabel("validation ROC-AUC")
    handles = [Line2D([], [], color=colors[s], label=strategy_name(s)) for s in strategies]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
