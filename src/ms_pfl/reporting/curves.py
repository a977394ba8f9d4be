"""Curves: training by round and its traffic, ROC, precision-recall, net benefit."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ms_pfl.evaluation.curves import TREAT_ALL, learning_curves
from ms_pfl.paradigms import (
    color_of,
    is_trained,
    model_name,
    models_in_order,
    paradigm_name,
    strategy_name,
    trains_in_rounds,
)
from ms_pfl.reporting.content import About, Content, Details, Picture, Table, Text
from ms_pfl.reporting.figures import INK, legend_below, of_strategy, styled
from ms_pfl.reporting.words import MISSING, paradigms_in_order, with_interval

_THRESHOLDS = 6  # of the table of net benefit
_STRATEGY_COLORS = ["#0068B4", "#C98500", "#009E73", "#CC79A7", "#BF2D00"]


def curves(about: About, operating_curves: pd.DataFrame, coverage: pd.DataFrame) -> Content | None:
    """Show ROC and precision-recall curves of one strategy; None where no model has any."""
    if operating_curves.empty:
        return None
    prevalence = float((coverage["n_positive"] / coverage["n_episodes"]).mean())
    return [
        Picture(
            "roc_and_pr",
            roc_and_pr(operating_curves, prevalence, about.strategy),
            "ROC and precision-recall curves, one line per paradigm, against no skill",
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
            "Net benefit over thresholds, one line per paradigm, against acting on all or nobody",
            about.fill(
                "Net benefit ({strategy}): true positives minus false positives weighted by the "
                "odds of the threshold, per test episode. Patients with a risk above the threshold "
                "would be acted on. A model is of use where it lies above acting on everybody and "
                "on nobody. Shaded: 95 % interval of the federated model."
            ),
        ),
        Details(
            "Net benefit of every paradigm, with 95 % intervals",
            [Table(net_benefit_table(net_benefit, about.strategy))],
        ),
    ]


def net_benefit_table(net_benefit: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Lay out net benefit with its intervals, one row per paradigm, at up to six thresholds.

    Args:
        net_benefit: the table of :func:`ms_pfl.evaluation.curves.decision_curves`.
        strategy: the federated strategy that is shown.
    """
    own = of_strategy(net_benefit, strategy)
    thresholds = sorted(own["threshold"].unique())
    shown = thresholds[:: -(-len(thresholds) // _THRESHOLDS) or 1]
    found = {
        (row["paradigm"], row["threshold"]): row | {"value": row["net_benefit"]}
        for row in own.to_dict("records")
    }
    paradigms = [name for name in paradigms_in_order(own) if name != TREAT_ALL[0]]
    names = {name: paradigm_name(name) for name in paradigms}
    return pd.DataFrame(
        [
            {"Paradigm": words} | {f"at {t:g}": with_interval(found[name, t]) for t in shown}
            for name, words in (names | {TREAT_ALL[0]: "Act on everybody"}).items()
        ],
        dtype="str",
    )


@styled
def roc_and_pr(curves: pd.DataFrame, prevalence: float, strategy: str) -> Figure:
    """Draw ROC and precision-recall curves, a line per paradigm.

    Args:
        curves: the table of :func:`ms_pfl.evaluation.curves.operating_curves`.
        prevalence: share of test episodes with the outcome: the precision of no skill.
        strategy: the federated strategy that is shown.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    own = of_strategy(curves[curves["paradigm"] != "recalibrated_slope"], strategy)
    for paradigm in paradigms_in_order(own):
        for axes, curve in ((roc, "roc"), (pr, "pr")):
            line = own[(own["paradigm"] == paradigm) & (own["curve"] == curve)]
            axes.plot(
                line["x"],
                line["y"],
                color=color_of(paradigm),
                linestyle="-" if is_trained(paradigm) else "--",
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
    own = of_strategy(net_benefit[net_benefit["paradigm"] != "recalibrated_slope"], strategy)
    everybody = own[own["paradigm"] == TREAT_ALL[0]]
    models = own[own["paradigm"] != TREAT_ALL[0]]
    for paradigm in paradigms_in_order(models):
        line = models[models["paradigm"] == paradigm]
        color = color_of(paradigm)
        axes.plot(
            line["threshold"], line["net_benefit"], "-" if is_trained(paradigm) else "--",
            color=color, linewidth=1.3, label=paradigm_name(paradigm),
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
    top = max(0.02, float(own["net_benefit"].max()) if len(own) else 0.1)
    axes.set(
        xlabel="threshold probability",
        ylabel="net benefit",
        ylim=(-0.35 * top, 1.15 * top),
    )
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def learning(about: About, history: pd.DataFrame) -> Content:
    """Show validation scores by round."""
    return [
        Picture(
            "learning_curves",
            draw_learning_curves(learning_curves(history)),
            "Validation log-loss and ROC-AUC by round, one panel per paradigm",
            about.fill(
                "Validation scores weighted by each {site}'s validation episodes, one line per "
                "seed. A dot marks the round whose weights are used, where it is the same for all "
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
        A row per model: ``Model``, ``Rounds`` (of a federation, lowest to highest over seeds), kB
        sent up and down per site and round (means over its messages), MB in total per seed.
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
            cells[f"kB {name} per {site} and round"] = (
                f"{sent.mean() / 1e3:,.1f}" if len(sent) else MISSING
            )
        rows.append(cells | {"MB in total per seed": f"{total:,.1f}" if total else MISSING})
    return pd.DataFrame(rows, dtype="str")


@styled
def draw_learning_curves(curves: pd.DataFrame) -> Figure:
    """Draw validation log-loss and ROC-AUC over rounds: a column per paradigm, a line per seed.

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
