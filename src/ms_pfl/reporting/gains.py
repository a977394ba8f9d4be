"""What each paradigm gains over others, with intervals and tests: all together and by site."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.inference import BETTER, EQUIVALENT, INCONCLUSIVE, WORSE
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import (
    color_of,
    is_trained,
    model_name,
    models_in_order,
    paradigm_name,
    strategy_name,
)
from ms_pfl.reporting.content import About, Block, Content, Picture, Table, Text, heading, note
from ms_pfl.reporting.figures import INK, diamond, legend_below, short_name, styled
from ms_pfl.reporting.verdicts import digits_of, verdict_cell
from ms_pfl.reporting.words import (
    MISSING,
    capitalized,
    figure_strategies,
    p_value,
    paradigms_in_order,
    rows_by,
    signed,
)

_WIDEST = 0.35  # of the forest plot's axis, on either side of 0
_NEARLY_ALL = 0.97  # of points and bounds lie on the axis; arrows stand for the others
# metric and scope
_GAINS = (("roc_auc", "pooled"), ("roc_auc", "macro"), ("log_loss", "pooled"), ("brier", "pooled"))
# what is compared with, in the order of the page
_REFERENCES = {
    "federated": "federated training by the same strategy",
    "local": "local training",
    "centralized": "centralized training",
    "recalibrated": "the federated model recalibrated by one intercept per {site}",
}


def gains(about: About, differences: pd.DataFrame) -> Content:
    """Show the differences to each reference."""
    from markupsafe import Markup

    content: list[Block] = [
        Text(
            Markup(
                "Differences on the same test patients, mean over seeds, with 95 % intervals of "
                "the paired bootstrap. A positive difference in ROC-AUC is a gain, a negative one "
                "in log-loss or Brier score is. The other metrics: "
                "<code>data/08_reporting/differences.parquet</code>."
            )
        ),
        note(
            about.fill(
                f"Better or worse: the whole interval is on that side of 0; equivalent: it holds 0 "
                f"and lies within the margin ({_margins(about)}); inconclusive: neither. "
                "Interval and p are of one standard error. Primary: planned beforehand, with "
                "simultaneous intervals and p. All others are exploratory: interval and p "
                "adjusted by Holm's method over the models of one table and column, recalibrated "
                "ones and further methods apart. Gaining: {sites} whose ROC-AUC is higher, "
                "of those that have both classes. p Wilcoxon: signed-rank test over {sites}, "
                "adjusted alike. Macro means rest on small {sites} too, which borrow the spread "
                "of larger ones: their intervals are rough (docs/comparison.md)."
            )
        ),
    ]
    for reference, words in _REFERENCES.items():
        if (differences["reference"] == reference).any():
            title = heading(about.fill(f"Over {words}"))
            content += [title, Table(gains_table(differences, reference), "verdicts")]
    return content


def _margins(about: About) -> str:
    """Return the margins that were set, in words."""
    margins = about.configuration.get("comparison", {}).get("margin", {})
    said = [f"{METRICS[name].label} ± {margin:g}" for name, margin in margins.items()]
    return ", ".join(said) or "none is set"


def gains_table(differences: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Lay out what each model gains over a reference, with intervals, verdicts and p.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        reference: a paradigm that others are compared with.

    Returns:
        Text cells, a row per model: ``Model``, pooled and macro ROC-AUC, the countries that gain,
        Wilcoxon's p over countries (Holm), then pooled log-loss and Brier score. A cell holds the
        difference with its interval and, on a second line, the verdict with p.
    """
    own = differences[(differences["reference"] == reference) & (differences["country"] == "")]
    found = rows_by(own, "paradigm", "strategy", "metric", "scope")
    table = []
    # what was trained first
    for model in sorted(models_in_order(own), key=lambda model: not is_trained(model[0])):
        cells = [("Model", model_name(*model))]
        for metric, scope in _GAINS:
            row = found[*model, metric, scope]
            lines = dict.fromkeys([signed(row, digits_of(metric)), verdict_cell(row)])
            cells.append((f"{METRICS[metric].label} {scope}", "\n".join(lines)))
            if scope == "macro":
                gaining = f"{row['n_better']:.0f} of {row['n_countries']:.0f}"
                cells += [
                    ("Gaining", MISSING if pd.isna(row["n_better"]) else gaining),
                    ("p Wilcoxon", p_value(row["wilcoxon_p_holm"])),
                ]
        table.append(cells)
    return pd.DataFrame(
        [[cell for _, cell in cells] for cells in table],
        columns=[name for name, _ in table[0]],
        dtype="str",
    )


def choice(
    about: About, differences: pd.DataFrame, further_country: pd.DataFrame
) -> Content | None:
    """Show the gains by site; None where nothing was compared with a federated model."""
    if not ((differences["scope"] == "country") & (differences["reference"] == "federated")).any():
        return None
    drawn = figure_strategies(differences["reference_strategy"], about.strategy)
    gained, beyond = (
        table[table["reference_strategy"].isin(drawn)] for table in (differences, further_country)
    )
    return [
        Picture(
            "gain_by_country",
            forest(gained, about.countries, beyond, about.site),
            about.fill(
                "Forest plot of the gain in ROC-AUC over federated training: one row per {site} "
                "with its 95 % interval, the largest {site} first, and a last row for a further "
                "{site} with its prediction interval. The numbers are in the table below."
            ),
            about.fill(
                "ROC-AUC of a {site}'s test episodes minus that of the federated model of the "
                "same strategy. Point: mean over seeds; line: 95 % interval of the patient "
                "bootstrap; arrow: beyond the axis; hollow: too few test "
                "patients for one. {Sites} in order of size (episodes in parentheses); those "
                "without both classes in the test split of any seed are left out. Last row: mean "
                "over {sites} (random effects; diamond: its 95 % interval) and, as a line, the "
                "95 % prediction interval for the true gain in a further {site}."
            ),
        ),
        Table(choice_table(differences, about.countries, about.site, about.strategy), "last-words"),
        note(
            about.fill(
                "{strategy}. Verdicts on ROC-AUC from intervals that are not adjusted: where "
                "nothing differs, one of twenty says better or worse by chance."
            )
        ),
    ]


def choice_table(
    differences: pd.DataFrame, countries: pd.DataFrame, site: str, strategy: str
) -> pd.DataFrame:
    """Lay out, country by country, what the personalized models gain over the federated one.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        countries: the table of :func:`ms_pfl.reporting.sites.country_table`; its order is kept.
        site: what a country is called.
        strategy: the federated strategy.

    Returns:
        Text cells: ``Country``, ``Patients``, ``Episodes``, the gain in ROC-AUC of each
        personalized paradigm (its interval in brackets), and the verdicts: paradigms that are
        better, worse and equivalent, or that the data are inconclusive.
    """
    own = differences[
        (differences["reference"] == "federated")
        & (differences["scope"] == "country")
        & (differences["metric"] == "roc_auc")
        & (differences["strategy"] == strategy)
    ]
    own = own[own["difference"].notna() & own["paradigm"].map(is_trained).astype(bool)]
    paradigms = paradigms_in_order(own)
    found = rows_by(own, "country", "paradigm")
    table = []
    for country in countries.itertuples():
        rows = {name: found[str(country.country), name] for name in paradigms}
        known = [row for row in rows.values() if not math.isnan(row["difference"])]
        told = {
            verdict: [
                paradigm_name(name) for name, row in rows.items() if row["verdict"] == verdict
            ]
            for verdict in (BETTER, WORSE, EQUIVALENT)
        }
        said = "; ".join(f"{' and '.join(names)} {word}" for word, names in told.items() if names)
        if not known:
            said = "not both classes in the test split of any seed"
        elif all(math.isnan(row["low"]) for row in known):
            said = f"fewer than {MIN_PATIENTS} test patients"
        table.append(
            {
                capitalized(site): str(country.country),
                "Patients": f"{country.n_patients:,}",
                "Episodes": f"{country.n_episodes:,}",
                **{f"{paradigm_name(name)}: gain": signed(row) for name, row in rows.items()},
                "Than federated": said or INCONCLUSIVE,
            }
        )
    return pd.DataFrame(table, dtype="str")


@styled
def forest(
    differences: pd.DataFrame,
    countries: pd.DataFrame,
    further: pd.DataFrame | None = None,
    site: str = "country",
) -> Figure:
    """Draw each country's gain in ROC-AUC over federated training, one panel per strategy.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        countries: the table of :func:`ms_pfl.reporting.sites.country_table`; the largest country
            comes first. The point is the mean over seeds, the line its 95 % interval; an arrow
            shows where it extends beyond the axis, and a hollow point has none. Countries with one
            class in every seed are left out.
        further: the table of :func:`ms_pfl.evaluation.further_country.further_country`. What it
            knows of the same differences is the last row: the mean over countries with its
            interval as a diamond, the prediction interval as a line. None: there is no such row.
        site: what a country is called.
    """
    known = _over_federated(differences[differences["scope"] == "country"], "difference")
    beyond = _over_federated(differences.iloc[:0] if further is None else further, "low")
    shown = countries[countries["country"].isin(known["country"])].reset_index(drop=True)
    strategies = list(dict.fromkeys(known["strategy"])) or [""]
    rows = len(shown) + (0 if beyond.empty else 1)
    width = 3.2 if len(strategies) < 4 else 2.1
    figure = Figure(
        figsize=(max(5.0, 1.6 + width * len(strategies)), 1.3 + 0.26 * rows), layout="constrained"
    )
    panels = figure.subplots(1, len(strategies), sharey=True, sharex=True, squeeze=False)[0]
    position = {country: i for i, country in enumerate(shown["country"])}
    bounds = ["difference", "low", "high"]
    farthest = np.abs(known[bounds].to_numpy(dtype=np.float64))
    most = float(np.nanquantile(farthest, _NEARLY_ALL)) if len(known) else 0.0
    limit = min(1.05 * max(0.02, most, *beyond[["low", "high"]].abs().max().fillna(0)), _WIDEST)
    for axes, strategy in zip(panels, strategies, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        own = known[known["strategy"] == strategy]
        expected = beyond[beyond["strategy"] == strategy]
        paradigms = paradigms_in_order(own)
        step = min(0.34, 0.8 / max(1, len(paradigms)))  # all within the row of their country
        for i, paradigm in enumerate(paradigms):
            offset = step * (i - (len(paradigms) - 1) / 2)
            mine = own[own["paradigm"] == paradigm]
            places = mine["country"].map(position).to_numpy(dtype=float) + offset
            color = color_of(paradigm)
            value = mine["difference"].to_numpy().clip(-limit, limit)
            sure = mine["low"].notna().to_numpy()
            axes.plot(
                value[sure], places[sure], "o", color=color, markersize=3.5,
                label=paradigm_name(paradigm),
            )  # fmt: skip
            axes.plot(value[~sure], places[~sure], "o", color=color, markersize=3.5, mfc="none")
            points = mine["difference"].where(mine["low"].isna())
            _arrows(axes, points, points, places, limit, color)
            _lines(axes, mine, places, limit, color)
            last = expected[expected["paradigm"] == paradigm]
            _lines(axes, last, np.full(len(last), len(shown) + offset), limit, color)
            for row in last.to_dict("records"):
                mean = (row["mean_low"], row["mean"], row["mean_high"])
                diamond(axes, mean, len(shown) + offset, color, 0.16)
        axes.set(title=strategy_name(strategy), xlabel="gain in ROC-AUC", xlim=(-limit, limit))
        if not beyond.empty:
            axes.axhline(len(shown) - 0.5, color=INK, linewidth=0.6, linestyle=":")
    labels = [f"{short_name(row.country)} ({row.n_episodes:,})" for row in shown.itertuples()]
    labels += [] if beyond.empty else [f"a further {site}"]
    panels[0].set(yticks=range(rows), yticklabels=labels, ylim=(rows - 0.3, -0.7))
    legend_below(figure, panels[0])
    return figure


def _over_federated(table: pd.DataFrame, needed: str) -> pd.DataFrame:
    """Return the differences in ROC-AUC of what is trained from the federated model."""
    own = table[(table["reference"] == "federated") & (table["metric"] == "roc_auc")]
    return own[own["paradigm"].map(is_trained).astype(bool) & own[needed].notna()]


def _lines(
    axes: Axes, rows: pd.DataFrame, places: NDArray[np.float64], limit: float, color: str
) -> None:
    """Draw the interval of each row, with an arrow where it extends beyond the axis."""
    axes.hlines(
        places, rows["low"].clip(-limit, limit), rows["high"].clip(-limit, limit), color=color,
        linewidth=1.1,
    )  # fmt: skip
    _arrows(axes, rows["low"], rows["high"], places, limit, color)


def _arrows(
    axes: Axes, low: pd.Series, high: pd.Series, places: NDArray[np.float64], limit: float,
    color: str,
) -> None:  # fmt: skip
    """Draw an arrow where something lies beyond the axis."""
    for side, marker, beyond in ((-limit, "<", low < -limit), (limit, ">", high > limit)):
        cut = places[beyond.to_numpy()]
        axes.plot(np.full(len(cut), side), cut, marker, color=color, markersize=4)
