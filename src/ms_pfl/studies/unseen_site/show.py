"""A country that never took part: figure, table and sentences from its scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ms_pfl.paradigms import color_of
from ms_pfl.reporting.figures import INK, styled
from ms_pfl.reporting.headline import signed
from ms_pfl.studies.unseen_site.compare import ALL, NONE, pays_from, sizes_in_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MISSING = "–"
KIND_NAMES = {
    "global": "The others' model",
    "personal": "Fine-tuned on its own patients",
    "local": "Its own patients alone",
    "took_part": "Federated, had it taken part",
}
_COLORS = {
    "global": color_of("federated"),
    "personal": color_of("fine_tuned"),
    "local": color_of("local"),
    "took_part": INK,
}
_PANELS = {"roc_auc": "ROC-AUC", "log_loss": "log-loss"}


@styled
def learning_curve(estimates: pd.DataFrame) -> Figure:
    """Draw ROC-AUC and log-loss against the number of local training patients.

    Args:
        estimates: the table of :func:`ms_pfl.studies.unseen_site.compare.measure`. Lines are
            means over the countries that have so many patients, with 95 % intervals; the thin lines
            behind are the fine-tuned models of the single countries.
    """
    from matplotlib.figure import Figure

    sizes = sizes_in_order(estimates)
    place = {size: i for i, size in enumerate(sizes)}
    counted = estimates[
        (estimates["scope"] == "macro")
        & (estimates["metric"] == "log_loss")
        & (estimates["kind"] == "global")
    ]
    behind = dict(zip(counted["size"], counted["n_countries"], strict=True))
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), _PANELS, strict=True):
        own = estimates[estimates["metric"] == metric]
        alone = own[(own["scope"] == "country") & own["kind"].isin(["global", "personal"])]
        # what a country has at 0 patients is the others' model
        alone = alone[(alone["kind"] == "personal") | (alone["size"] == NONE)]
        for _, rows in alone.groupby("country"):
            ordered = rows.assign(at=rows["size"].map(place)).sort_values("at")
            axes.plot(ordered["at"], ordered["value"], color="#b0b0b0", linewidth=0.6, zorder=1)
        macro = own[own["scope"] == "macro"]
        kinds = [kind for kind in KIND_NAMES if (macro["kind"] == kind).any()]
        for i, kind in enumerate(kinds):
            rows = macro[macro["kind"] == kind]
            at = rows["size"].map(place) + 0.08 * (i - (len(kinds) - 1) / 2)
            order = np.argsort(at.to_numpy())
            x, value, low, high = (
                column.to_numpy(dtype=np.float64)[order]
                for column in (at, rows["value"], rows["low"], rows["high"])
            )
            axes.vlines(x, low, high, color=_COLORS[kind], linewidth=1.1)
            axes.plot(
                x, value, "o", color=_COLORS[kind], markersize=3.5, label=KIND_NAMES[kind],
                linestyle="--" if kind == "took_part" else "-",
            )  # fmt: skip
        axes.set_xticks(range(len(sizes)), [f"{size}\n({behind[size]:.0f})" for size in sizes])
        title = _PANELS[metric]
        better = "higher is better" if metric == "roc_auc" else "lower is better"
        axes.set(
            xlabel="training patients of the country (countries that have so many)",
            ylabel=f"{title} ({better})",
        )
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def new_country_table(estimates: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Lay out the means over countries, a row a number of patients.

    Returns:
        Text cells: ``Patients`` (that a country comes with), ``Countries`` (that have so many),
        then macro ROC-AUC of each kind of model, and what fine-tuning gains in ROC-AUC and
        log-loss over the others' model and in ROC-AUC over the country's patients alone, with
        intervals.
    """
    macro = estimates[estimates["scope"] == "macro"]
    values = {
        (row["kind"], row["size"]): row for _, row in macro[macro["metric"] == "roc_auc"].iterrows()
    }
    gains = {
        (row["kind"], row["reference"], row["metric"], row["size"]): row
        for _, row in differences[differences["scope"] == "macro"].iterrows()
    }
    table = []
    for size in sizes_in_order(estimates):
        row = values["global", size]
        cells = [size, f"{row['n_countries']:.0f}"]
        cells += [_value(values.get((kind, size))) for kind in KIND_NAMES]
        for reference, metric, digits in (
            ("global", "roc_auc", 3),
            ("global", "log_loss", 4),
            ("local", "roc_auc", 3),
        ):
            gain = gains.get(("personal", reference, metric, size))
            cells.append(_MISSING if gain is None else signed(gain, digits))
        table.append(cells)
    columns = [
        "Patients",
        "Countries",
        *(f"ROC-AUC: {name[:1].lower()}{name[1:]}" for name in KIND_NAMES.values()),
        "Fine-tuned minus the others' model: ROC-AUC",
        "the same: log-loss",
        "Fine-tuned minus own patients alone: ROC-AUC",
    ]
    return pd.DataFrame(table, columns=columns, dtype="str")


def new_country_sentences(
    estimates: pd.DataFrame, differences: pd.DataFrame, sites: tuple[str, str]
) -> list[str]:
    """Say what the tables came to.

    Args:
        estimates: of :func:`ms_pfl.studies.unseen_site.compare.measure`.
        differences: of the same.
        sites: singular and plural of what holds the data, such as ``("country", "countries")``.
    """
    site, plural = sites
    macro = estimates[(estimates["scope"] == "macro") & (estimates["size"] == NONE)]
    found = {(row["kind"], row["metric"]): row for _, row in macro.iterrows()}
    start = found["global", "roc_auc"]
    n = estimates.loc[estimates["scope"] == "country", "country"].nunique()
    lines = [
        f"{n} {plural if n != 1 else site} left out, one after the other: the model of the others "
        f"has there a macro ROC-AUC of {start['value']:.3f}{_interval(start)}."
    ]
    part = _gain(differences, "took_part", "global", "roc_auc", NONE)
    if part is not None:
        verdict = _verdict(part, "helps", "does harm", "is not told apart from staying away")
        lines.append(
            f"Having taken part {verdict}: macro ROC-AUC {signed(part, 3)} over the model of the "
            "others."
        )
    pays = {metric: pays_from(differences, metric) for metric in _PANELS}
    told = [
        f"by {_PANELS[metric]} from {size} patients on"
        if size != ALL
        else f"by {_PANELS[metric]} with all patients"
        for metric, size in pays.items()
        if size is not None
    ]
    not_told = [_PANELS[metric] for metric, size in pays.items() if size is None]
    if told:
        lines.append(
            f"A personal model pays {' and '.join(told)}: from there on its whole interval of the "
            "mean gain over the others' model is on the good side."
        )
    if not_told:
        lines.append(
            f"By {' and '.join(not_told)} no number of patients tried made fine-tuning better than "
            "the others' model beyond doubt."
        )
    largest = sizes_in_order(estimates)[-1]
    alone = _gain(differences, "local", "global", "roc_auc", largest)
    if alone is not None:
        verdict = _verdict(alone, "beats", "falls short of", "is not told apart from")
        lines.append(
            f"A model of all the {site}'s own patients alone {verdict} the others' model: macro "
            f"ROC-AUC {signed(alone, 3)}."
        )
    lines.append(
        f"Means over the {plural} that have so many training patients, over seeds, with 95 % "
        f"intervals of a bootstrap of the test patients; so the {plural} behind the points differ."
    )
    return lines


def _gain(
    differences: pd.DataFrame, kind: str, reference: str, metric: str, size: str
) -> pd.Series[Any] | None:
    asked = {
        "kind": kind, "reference": reference, "metric": metric, "size": size, "scope": "macro",
    }  # fmt: skip
    rows = differences[
        np.all([differences[name] == value for name, value in asked.items()], axis=0)
    ]
    return None if rows.empty else rows.iloc[0]


def _verdict(gain: pd.Series[Any], better: str, worse: str, neither: str) -> str:
    if gain["low"] > 0:
        return better
    return worse if gain["high"] < 0 else neither


def _value(row: pd.Series[Any] | None) -> str:
    if row is None or math.isnan(row["value"]):
        return _MISSING
    return f"{row['value']:.3f}{_interval(row)}"


def _interval(row: pd.Series[Any]) -> str:
    return "" if math.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
