"""How many patients a site needs before its own or a personalized model serves it better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.evaluation.site_size import SizeLine, fit_line, site_gains
from ms_pfl.paradigms import PARADIGMS, color_of, learner_of, paradigm_name, strategy_name
from ms_pfl.reporting.content import About, Content, Picture, Table, note
from ms_pfl.reporting.figures import INK, legend_below, styled
from ms_pfl.reporting.words import signed

_METRICS = ("log_loss", "roc_auc")
_SHOWN = _METRICS[0]
_ROLES = ("local", "personalized")


@dataclass(frozen=True)
class _Fit:
    strategy: str
    paradigm: str
    metric: str
    rows: pd.DataFrame
    line: SizeLine


def site_size(about: About, differences: pd.DataFrame) -> Content | None:
    """Show gains by the size of a site, a learner a panel; None where no line can be fitted."""
    fits = list(_fits(about, differences))
    if not fits:
        return None
    return [
        Picture(
            "gain_by_size",
            draw([fit for fit in fits if fit.metric == _SHOWN], about.fill("patients of a {site}")),
            about.fill("Gain over the federated model by the number of patients of a {site}"),
            about.fill(
                "Log-loss of the federated model minus that of the others: above 0 they serve a "
                "{site} better. A point is a {site}, larger where its error is smaller; line and "
                "band: mean gain of {sites} of a size with its 95 % interval (random-effects "
                "meta-regression on the logarithm of the number of patients)."
            ),
        ),
        Table(size_table(fits, about.site)),
        note(
            about.fill(
                "Mean gain of {sites} of the smallest, the median and the largest size, with 95 % "
                "intervals; in log-loss a negative difference is a gain. Better from: the smallest "
                "{site} from which on the interval leaves out 0 on the side of the gain. {Sites} "
                "of a size differ by the spread (standard deviation) around the mean."
            )
        ),
    ]


def _fits(about: About, differences: pd.DataFrame) -> Iterator[_Fit]:
    patients = about.countries.set_index("country")["n_patients"]
    federated = differences[differences["paradigm"] == "federated"]["strategy"]
    known = list(dict.fromkeys(federated))
    # the first strategy stands for networks
    chosen = [name for name in known if learner_of(name) != "network" or name == about.strategy]
    wanted = [row.name for row in PARADIGMS.values() if row.role in _ROLES]
    for strategy in chosen:
        for metric in _METRICS:
            rows = site_gains(differences, patients, strategy, metric)
            for paradigm in wanted:
                own = rows[rows["paradigm"] == paradigm]
                line = fit_line(*(own[c].to_numpy() for c in ("patients", "difference", "error")))
                if line is not None:
                    yield _Fit(strategy, paradigm, metric, own, line)


def size_table(fits: list[_Fit], site: str) -> pd.DataFrame:
    """Lay out the mean gains at three sizes, and from which size on a model is better.

    Args:
        fits: a line each.
        site: what the data call a site.

    Returns:
        Text cells, a row per learner, paradigm and metric.
    """
    every = np.concatenate([fit.line.sizes for fit in fits])
    sizes = np.quantile(every, [0.0, 0.5, 1.0], method="nearest")
    table = []
    for fit in fits:
        names = ("difference", "low", "high")
        gains = [dict(zip(names, row, strict=True)) for row in fit.line.gain(sizes).T.tolist()]
        digits = METRICS[fit.metric].digits
        first = fit.line.gains_from(METRICS[fit.metric].sign)
        table.append(
            {
                "Learner": _learner(fit.strategy),
                "Against federated": paradigm_name(fit.paradigm),
                "Metric": METRICS[fit.metric].label,
                **{
                    f"{size:,.0f} patients": signed(row, digits)
                    for size, row in zip(sizes, gains, strict=True)
                },
                "Spread": f"{fit.line.tau:.{digits}f}",
                "Better from": f"no size of {site}" if first is None else f"{first:,} patients",
            }
        )
    return pd.DataFrame(table, dtype="str")


def _learner(strategy: str) -> str:
    name = strategy_name(strategy)
    return f"network ({name})" if learner_of(strategy) == "network" else name


@styled
def draw(fits: list[_Fit], label: str) -> Figure:
    """Draw the sites and the lines, a panel per learner.

    Args:
        fits: of one metric in which less is better.
        label: of the horizontal axis.
    """
    strategies = list(dict.fromkeys(fit.strategy for fit in fits))
    figure = Figure(figsize=(max(4.5, 3.2 * len(strategies)), 3.6), layout="constrained")
    panels = figure.subplots(1, len(strategies), sharex=True, sharey=True, squeeze=False)[0]
    gains = -np.concatenate([fit.rows["difference"].to_numpy() for fit in fits])
    limit = 1.6 * float(np.quantile(np.abs(gains), 0.85))
    for axes, strategy in zip(panels, strategies, strict=True):
        axes.axhline(0, color=INK, linewidth=0.8)
        for fit in fits:
            if fit.strategy == strategy:
                _draw_fit(axes, fit, limit)
        axes.set(title=_learner(strategy), xscale="log", ylim=(-limit, limit))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("gain in log-loss")
    panels[len(panels) // 2].set_xlabel(label)
    legend_below(figure, max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[0])))
    return figure


def _draw_fit(axes: Axes, fit: _Fit, limit: float) -> None:
    color = color_of(fit.paradigm)
    errors = fit.rows["error"].to_numpy()
    sizes = 4 + 36 * (errors.min() / errors) ** 2
    shown = (-fit.rows["difference"]).clip(-limit, limit)
    axes.scatter(fit.rows["patients"], shown, s=sizes, color=color, alpha=0.55, linewidths=0)
    grid = np.geomspace(fit.line.sizes.min(), fit.line.sizes.max(), 60)
    mean, low, high = -fit.line.gain(grid)
    axes.fill_between(grid, high, low, color=color, alpha=0.15, linewidth=0)
    axes.plot(grid, mean, color=color, linewidth=1.5, label=paradigm_name(fit.paradigm))
