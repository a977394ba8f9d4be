"""What each paradigm gains over others, with intervals and tests: all together and by site."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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
from ms_pfl.reporting.figures import INK, legend_below, short_name, styled
from ms_pfl.reporting.verdicts import digits_of, verdict_cell
from ms_pfl.reporting.words import (
    MISSING,
    capitalized,
    p_value,
    paradigms_in_order,
    rows_by,
    signed,
)

_WIDEST = 0.35  # of the forest plot's axis, on either side of 0
# metric and scope
_GAINS = (("roc_auc", "pooled"), ("roc_auc", "macro"), ("log_loss", "pooled"), ("brier", "pooled"))
# what is compared with, in the order of the page
_REFERENCES = {
    "federated": "federated training by the same strategy",
    "local": "local training",
    "centralized": "centralized training",
    "recalibrated": "the federated model recalibrated by an intercept a {site}",
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
        )
    ]
    for reference, words in _REFERENCES.items():
        if (differences["reference"] == reference).any():
            title = heading(about.fill(f"Over {words}"))
            content += [title, Table(gains_table(differences, reference))]
    content.append(
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
        )
    )
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
        Text cells, a row per model: ``Model``, difference and ``Verdict`` with p of pooled and
        macro ROC-AUC, the countries that gain, Wilcoxon's p over countries (Holm), then pooled
        log-loss and Brier score. Several columns are called ``Verdict``.
    """
    own = differences[(differences["reference"] == reference) & (differences["country"] == "")]
    found = rows_by(own, "paradigm", "strategy", "metric", "scope")
    table = []
    # what was trained first
    for model in sorted(models_in_order(own), key=lambda model: not is_trained(model[0])):
        cells = [("Model", model_name(*model))]
        for metric, scope in _GAINS:
            row = found[*model, metric, scope]
            cells += [
                (f"{METRICS[metric].label} {scope}", signed(row, digits_of(metric))),
                ("Verdict", verdict_cell(row)),
            ]
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


def choice(about: About, differences: pd.DataFrame) -> Content | None:
    """Show the gains by site; None where nothing was compared with a federated model."""
    if not ((differences["scope"] == "country") & (differences["reference"] == "federated")).any():
        return None
    return [
        Picture(
            "gain_by_country",
            forest(differences, about.countries),
            about.fill("Gain in ROC-AUC over federated training by {site}, with intervals"),
            about.fill(
                "ROC-AUC of a {site}'s test episodes minus that of the federated model of the "
                "same strategy. Point: mean over seeds; line: 95 % interval of the patient "
                "bootstrap, an arrow where it goes on; hollow: too few test patients for one. "
                "{Sites} in order of size (episodes in parentheses); those without both classes "
                "in the test split of any seed are left out."
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
def forest(differences: pd.DataFrame, countries: pd.DataFrame) -> Figure:
    """Draw each country's gain in ROC-AUC over federated training, a panel a strategy.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        countries: the table of :func:`ms_pfl.reporting.sites.country_table`; the largest country
            comes first. The point is the mean over seeds, the line its 95 % interval; an arrow
            shows where it goes on, and a hollow point has none. Countries with one class in every
            seed are left out.
    """
    known = differences[
        (differences["reference"] == "federated")
        & (differences["metric"] == "roc_auc")
        & (differences["scope"] == "country")
        & differences["paradigm"].map(is_trained).astype(bool)
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
    farthest = known[["difference", "low", "high"]].abs().to_numpy(dtype=np.float64)
    limit = min(1.05 * max(0.02, float(np.nanmax(farthest, initial=0.0))), _WIDEST)
    for axes, strategy in zip(panels, strategies, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        own = known[known["strategy"] == strategy]
        paradigms = paradigms_in_order(own)
        for i, paradigm in enumerate(paradigms):
            mine = own[own["paradigm"] == paradigm]
            places = mine["country"].map(position).to_numpy(dtype=float)
            rows = places + 0.34 * (i - (len(paradigms) - 1) / 2)
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
        axes.set(title=strategy_name(strategy), xlabel="gain in ROC-AUC", xlim=(-limit, limit))
    labels = [f"{short_name(row.country)} ({row.n_episodes:,})" for row in shown.itertuples()]
    panels[0].set(yticks=range(len(shown)), yticklabels=labels, ylim=(len(shown) - 0.3, -0.7))
    legend_below(figure, panels[0])
    return figure
