"""Odds ratios, shape curves and intercepts of sites as figures, tables and a few sentences."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from ms_pfl.cohort.feature_labels import Label, feature_label
from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.paradigms import Training, color_of, model_name, models_in_order
from ms_pfl.reporting.content import (
    About,
    Block,
    Content,
    Details,
    Picture,
    Table,
    Text,
    heading,
    note,
)
from ms_pfl.reporting.figures import INK, short_name, styled
from ms_pfl.reporting.words import capitalized

Vocabulary = Mapping[str, object] | None

#: Comparisons in the forest plot, and curves in the other figure, at most.
MOST_COMPARISONS, MOST_CURVES = 24, 16
#: A curve of so few values is drawn with a point at each.
_FEW = 20
_PANELS = 4
_RATIO = ["odds_ratio", "odds_ratio_low", "odds_ratio_high"]
#: Odds ratios at which the log axes end at the latest; curves share one, and most are flat.
_WIDEST, _WIDEST_CURVE = 20, 10
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
#: Which regression is shown, the first that is there.
_SHOWN = (Training("federated", "logistic"), Training("centralized", "logistic"))


def section(
    about: About,
    odds_ratios: pd.DataFrame,
    shape_curves: pd.DataFrame,
    site_intercepts: pd.DataFrame,
    cohort_description: Mapping[str, Any],
) -> Content | None:
    """Show what a shared regression says of each feature; None where there is none."""
    if by_strength(odds_ratios).empty:
        return None
    vocabulary = cohort_description.get("vocabulary")
    shown = shown_regression(odds_ratios)
    ratios, curves = _of(odds_ratios, shown), _of(shape_curves, shown)
    strongest = by_strength(ratios)
    content: list[Block] = [
        *(Text(about.fill(line)) for line in ratio_sentences(odds_ratios)),
        Picture(
            "odds_ratios",
            forest(strongest, vocabulary),
            "Odds ratios with 95 % intervals, the strongest first",
            "Odds ratios with 95 % intervals on a log axis, the strongest first: of a number its "
            "upper against its lower quartile (*: where these are equal, the highest against the "
            "lowest value that is shown), of missing values against the median. An arrow where an "
            "interval goes on.",
        ),
        Details("All odds ratios", [Table(ratio_table(strongest, vocabulary), "words")]),
    ]
    for feature in dict.fromkeys(ratios.loc[ratios["compared"] == "level", "feature"]):
        levels = ratios[(ratios["compared"] == "level") & (ratios["feature"] == feature)]
        name = feature_label(feature, vocabulary).name
        title = f"{name}: each level against {_number(levels['reference'].iloc[0])}"
        content.append(Details(title, [Table(ratio_table(levels, vocabulary), "words")]))
    if len(curves):
        content += [
            heading("Shape of each effect"),
            Picture(
                "shape_curves",
                draw_curves(curves, vocabulary),
                "Odds ratio against the median over the values of each feature",
                "Odds ratio against the median (dot) over the values of a feature, with all "
                "columns that are made of it, from the 1st to the 99th percentile of training "
                "episodes; shaded: 95 % band, for one value at a time; gray: the middle half of "
                f"the episodes. At most {MOST_CURVES} features, those whose curves move "
                "predictions most; all of them, and what leaves its panel: "
                "data/08_reporting/shape_curves.parquet.",
            ),
        ]
    return [*content, *_intercepts(about, site_intercepts), _how_to_read(about, vocabulary)]


def _intercepts(about: About, site_intercepts: pd.DataFrame) -> list[Block]:
    if site_intercepts.empty:
        return []
    return [
        heading(about.fill("Intercepts of the {sites}")),
        *(Text(line) for line in intercept_sentences(site_intercepts, (about.site, about.sites))),
        Details(
            about.fill("Intercept of each {site}"),
            [
                Table(intercept_table(site_intercepts, about.countries, about.site)),
                note(
                    about.fill(
                        "Odds in a {site} against those of the common intercept, with 95 % "
                        f"intervals, given the coefficients; of {{sites}} with at least "
                        f"{MIN_PATIENTS} training patients in every seed."
                    )
                ),
            ],
        ),
    ]


def _how_to_read(about: About, vocabulary: Vocabulary) -> Text:
    such = " (the EDSS now, before and in the window; age, age at onset and duration)"
    return note(
        about.fill(
            f"All else equal: where features state the same thing{such * (vocabulary is None)}, "
            "they share an effect, and no patient has one of them changed alone: read them "
            "together. The ridge pulls coefficients towards 0, "
            "and intervals are those of the pulled ones; they do not say how other {sites} would "
            "differ, and are too narrow where few patients were trained on. An odds ratio tells "
            "what the model uses, not what causes the outcome. No "
            f"value is shown that stands for fewer than {MIN_PATIENTS} patients. "
            "docs/coefficients.md says how all of it is computed."
        )
    )


def shown_regression(odds_ratios: pd.DataFrame) -> Training:
    """Return which regression is shown: the federated one where there is one."""
    there = [Training(*model) for model in models_in_order(odds_ratios)]
    return next((training for training in _SHOWN if training in there), there[0])


def by_strength(ratios: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons of a regression but those of levels, the strongest first."""
    own = ratios[ratios["compared"] != "level"]
    order = own["log_odds_ratio"].abs().sort_values(ascending=False, kind="stable").index
    return own.loc[order].reset_index(drop=True)


def ratio_sentences(odds_ratios: pd.DataFrame) -> list[str]:
    """Say of what the odds ratios are, and how many are told from 1.

    Args:
        odds_ratios: the table of :func:`ms_pfl.studies.coefficients.effects.effects`.

    Returns:
        Sentences in which ``{sites}`` is what the data call several.
    """
    shown = shown_regression(odds_ratios)
    own = _of(odds_ratios, shown)
    n_seeds = int(own["n_seeds"].iloc[0])
    seeds = f"means over {n_seeds} seeds" if n_seeds > 1 else "one seed"
    pairs = by_strength(own)
    told = int(((pairs["odds_ratio_low"] > 1) | (pairs["odds_ratio_high"] < 1)).sum())
    lines = [
        f"{model_name(*shown)}, fitted to the training episodes of all {{sites}}: the odds of the "
        "outcome at one value of a feature over those at another one, all other features being "
        f"equal; {seeds}, with 95 % intervals clustered by patient.",
        f"Of {len(pairs)} odds ratios {told} have an interval that excludes 1; of twenty one does "
        "so by chance.",
    ]
    keys = ["feature", "compared", "reference", "value"]
    for training in _SHOWN:
        other = _of(odds_ratios, training)
        if training != shown and len(other):
            both = own.merge(other, on=keys, suffixes=("", "_other"))
            apart = float((both["log_odds_ratio"] - both["log_odds_ratio_other"]).abs().max())
            least = max(apart, 0.001)
            said = "less than" if apart < least else "at most"
            lines.append(
                f"{model_name(*training)} is the fit to the same rows in one place: its log odds "
                f"ratios differ by {said} {least:.2g}."
            )
    return lines


def ratio_table(ratios: pd.DataFrame, vocabulary: Vocabulary) -> pd.DataFrame:
    """Lay odds ratios out as text cells, in the order given.

    Args:
        ratios: rows of the table of :func:`ms_pfl.studies.coefficients.effects.effects`.
        vocabulary: of a custom table.

    Returns:
        ``Feature``, ``Compared``, ``Odds ratio`` with its interval.
    """
    labels = [feature_label(feature, vocabulary) for feature in ratios["feature"]]
    rows = ratios.to_dict("records")
    return pd.DataFrame(
        {
            "Feature": [label.name for label in labels],
            "Compared": [_compared(row, label) for row, label in zip(rows, labels, strict=True)],
            "Odds ratio": [_with_interval(row) for row in rows],
        },
        dtype="str",
    )


@styled
def forest(ratios: pd.DataFrame, vocabulary: Vocabulary) -> Figure:
    """Draw odds ratios with their intervals on a log axis.

    Args:
        ratios: rows of the table of :func:`ms_pfl.studies.coefficients.effects.effects`, in the
            order that they are drawn in from above; the first 24 are.
        vocabulary: of a custom table.
    """
    shown = ratios.head(MOST_COMPARISONS)
    rows = np.arange(len(shown))
    middle, low, high = _log_interval(shown)
    limit = _limit(np.array([low, high]), _WIDEST)
    color = color_of(str(shown["paradigm"].iloc[0]))
    figure = Figure(figsize=(9, 1.0 + 0.25 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.hlines(rows, low.clip(-limit, limit), high.clip(-limit, limit), color=color, linewidth=1.4)
    axes.plot(middle.clip(-limit, limit), rows, "o", color=color, markersize=4.5)
    for side, marker, beyond in ((-limit, "<", low < -limit), (limit, ">", high > limit)):
        cut = rows[beyond]
        axes.plot(np.full(len(cut), side), cut, marker, color=color, markersize=5, clip_on=False)
    labels = []
    for place, row in enumerate(shown.to_dict("records")):
        label = feature_label(row["feature"], vocabulary)
        labels.append(f"{short_name(label.name)}: {_compared(row, label)}")
        axes.text(
            1.02, place, _with_interval(row), transform=axes.get_yaxis_transform(), va="center",
            fontsize=8,
        )  # fmt: skip
    axes.set(
        yticks=rows, yticklabels=labels, ylim=(len(shown) - 0.3, -0.7), xlim=(-limit, limit),
        xlabel="odds ratio (log scale)",
    )  # fmt: skip
    _ratio_ticks(axes, "x", limit)
    return figure


@styled
def draw_curves(curves: pd.DataFrame, vocabulary: Vocabulary) -> Figure:
    """Draw the shape curves that move predictions most, a panel each.

    They are ordered by the standard deviation of the log odds ratio over the training rows.

    Args:
        curves: of one regression, the table of
            :func:`ms_pfl.studies.coefficients.effects.effects`.
        vocabulary: of a custom table.
    """
    strengths = {feature: _moved(own) for feature, own in curves.groupby("feature", sort=False)}
    ranked = sorted(strengths, key=lambda feature: -strengths[feature])[:MOST_CURVES]
    color = color_of(str(curves["paradigm"].iloc[0]))
    columns = min(_PANELS, len(ranked))
    lines = -(-len(ranked) // columns)
    figure = Figure(figsize=(2.6 * columns, 0.4 + 2.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    ends = curves.loc[curves["feature"].isin(ranked), ["low", "high"]].to_numpy(dtype=np.float64)
    limit = _limit(ends, _WIDEST_CURVE)
    for axes in grid.ravel()[len(ranked) :]:
        axes.set_axis_off()
    for axes, feature in zip(grid.ravel(), ranked, strict=False):
        own = curves[curves["feature"] == feature]
        label = feature_label(str(feature), vocabulary)
        _draw_curve(axes, own, color)
        axes.set(title=short_name(label.name), xlabel=label.unit, ylim=(-limit, limit))
        axes.title.set_fontsize(9)
    _ratio_ticks(grid[0, 0], "y", limit)
    figure.supylabel("odds ratio against the median (log scale)", fontsize=9, color=INK)
    return figure


def _draw_curve(axes: Axes, own: pd.DataFrame, color: str) -> None:
    values = own["value"].to_numpy()
    first, last = (
        values[min(int((own["share"] < q).sum()), len(values) - 1)] for q in (0.25, 0.75)
    )
    axes.axvspan(first, last, color="#808080", alpha=0.15, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.fill_between(values, own["low"], own["high"], color=color, alpha=0.25, linewidth=0)
    few = len(values) <= _FEW
    axes.plot(
        values, own["log_odds_ratio"], "o-" if few else "-", color=color, linewidth=1.3,
        markersize=2.5,
    )  # fmt: skip
    axes.plot(own["reference"].iloc[:1], [0], "o", color=INK, markersize=4)


def _moved(curve: pd.DataFrame) -> float:
    """Return the standard deviation of a curve over the training rows that have a value."""
    weights = np.diff(curve["share"].to_numpy(), prepend=0.0)
    z = curve["log_odds_ratio"].to_numpy()
    mean = float(np.average(z, weights=weights))
    return math.sqrt(float(np.average((z - mean) ** 2, weights=weights)))


def intercept_sentences(site_intercepts: pd.DataFrame, sites: tuple[str, str]) -> list[str]:
    """Say how far the sites' intercepts are apart.

    Args:
        site_intercepts: the table of
            :func:`ms_pfl.studies.coefficients.intercepts.site_intercepts`.
        sites: what a site is called, and several.
    """
    lines = []
    for model in models_in_order(site_intercepts):
        sd = float(_of(site_intercepts, Training(*model))["sd_between"].iloc[0])
        if sd == 0:
            lines.append(
                f"{model_name(*model)}: no difference between the intercepts of {sites[1]} was "
                "found (estimated standard deviation 0)."
            )
            continue
        lines.append(
            f"{model_name(*model)}: each {sites[0]} has an intercept of its own. Between "
            f"{sites[1]} they have an estimated standard deviation of {sd:.2f} (log-odds), which "
            f"is a median odds ratio of {median_odds_ratio(sd):.2f}: of two {sites[1]} drawn at "
            "random, the higher odds of patients who are alike are the lower ones times this, in "
            "the median."
        )
    return lines


def median_odds_ratio(sd: float) -> float:
    r"""Return the median odds ratio of two sites with normal intercepts.

    :math:`e^{\sqrt{2}\,\sigma\,\Phi^{-1}(3/4)}` (Larsen and Merlo, Am J Epidemiol 2005).

    >>> round(median_odds_ratio(0.33), 2)
    1.37
    """
    return math.exp(math.sqrt(2) * sd * NormalDist().inv_cdf(0.75))


def intercept_table(
    site_intercepts: pd.DataFrame, countries: pd.DataFrame, site: str = "country"
) -> pd.DataFrame:
    """Lay the sites' intercepts out as text cells.

    Args:
        site_intercepts: the table of
            :func:`ms_pfl.studies.coefficients.intercepts.site_intercepts`.
        countries: the table of :func:`ms_pfl.reporting.sites.country_table`; its order is kept.
        site: what a site is called, the head of the first column.
    """
    order = {name: place for place, name in enumerate(countries["country"])}
    places = site_intercepts["country"].map(order)
    own = site_intercepts.loc[places.sort_values(kind="stable").index]
    ratios = np.exp(own[["deviation", "low", "high"]].to_numpy(dtype=np.float64))
    return pd.DataFrame(
        {
            capitalized(site): own["country"].tolist(),
            "Training patients": [f"{n:,}" for n in own["n_patients"]],
            "Odds ratio": [_with_interval(dict(zip(_RATIO, row, strict=True))) for row in ratios],
        },
        dtype="str",
    )


def _compared(row: Mapping[Any, Any], label: Label) -> str:
    """Return what an odds ratio compares, in words."""
    low, high = row["reference"], row["value"]
    match row["compared"]:
        case "missing":
            others = row["n_together"] - 1
            known = f" (with {others} other feature{'s' * (others > 1)})" if others else ""
            return f"missing{known}"
        case "binary" if (low, high) == (0, 1):
            return "yes against no"
    unit = f" {label.unit}" if label.unit else ""
    mark = " *" if row["compared"] == "ends" else ""
    return f"{_number(high)} against {_number(low)}{unit}{mark}"


def _number(value: float) -> str:
    """Return a value of a feature with three digits or four, and all digits before the point."""
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(value: float) -> str:
    """Return an odds ratio with two decimals, or two digits where it is small."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _with_interval(row: Mapping[Any, Any]) -> str:
    middle, low, high = (_ratio(row[name]) for name in _RATIO)
    return f"{middle} [{low}, {high}]"


def _log_interval(ratios: pd.DataFrame) -> tuple[np.ndarray, ...]:
    ends = ratios[_RATIO].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore"):
        middle, low, high = np.log(ends).T
    return middle, low, high


def _limit(ends: np.ndarray, widest: float) -> float:
    """Where an axis of log odds ratios ends, on either side of 0."""
    return min(1.05 * float(np.max(np.abs(ends), initial=0.1)), math.log(widest))


def _ratio_ticks(axes: Axes, side: str, limit: float) -> None:
    """Ticks at odds ratios on an axis of their logarithms."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_ticks([math.log(tick) for tick in _TICKS if abs(math.log(tick)) <= limit + 1e-9])
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{math.exp(value):.3g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _of(table: pd.DataFrame, training: Training) -> pd.DataFrame:
    paradigm, strategy = training
    return table[(table["paradigm"] == paradigm) & (table["strategy"] == strategy)]
