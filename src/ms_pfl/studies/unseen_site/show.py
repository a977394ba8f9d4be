"""A country that never took part: figure, table and sentences from its scores."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ms_pfl.paradigms import color_of
from ms_pfl.reporting.content import About, Content, Picture, Table, sentences
from ms_pfl.reporting.figures import INK, legend_below, styled
from ms_pfl.reporting.verdicts import verdict_sentence
from ms_pfl.reporting.words import Row, rows_by, signed, with_interval
from ms_pfl.studies.unseen_site.compare import ALL, FURTHER, NONE, pays_from, sizes_in_order

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
_COMPARED = ("kind", "reference", "metric", "size")
_PANELS = {"roc_auc": "ROC-AUC", "log_loss": "log-loss"}


def section(
    about: About, new_country_estimates: pd.DataFrame, new_country_differences: pd.DataFrame
) -> Content:
    """Show how well sites are served that were left out of the federation."""
    tables = new_country_estimates, new_country_differences
    margins = about.configuration.get("comparison", {}).get("margin") or {}
    return [
        *sentences(new_country_sentences(*tables, (about.site, about.sites), margins)),
        Picture(
            "new_country",
            learning_curve(new_country_estimates),
            about.fill(
                "ROC-AUC and log-loss in a {site} that never took part, by the number of its "
                "patients"
            ),
            about.fill(
                "Test episodes of {sites} that were left out of the federation, against the "
                "training patients that they come with. Points: mean over {sites} and seeds, "
                "lines: 95 % intervals; gray: fine-tuned models of the single {sites}."
            ),
        ),
        Table(new_country_table(*tables)),
    ]


@styled
def learning_curve(estimates: pd.DataFrame) -> Figure:
    """Draw ROC-AUC and log-loss against the number of local training patients.

    Args:
        estimates: the table of :func:`ms_pfl.studies.unseen_site.compare.measure`. Lines are
            means over the countries that have so many patients, with 95 % intervals; the thin lines
            behind are the fine-tuned models of the single countries.
    """
    sizes = sizes_in_order(estimates)
    ordered = estimates.assign(at=estimates["size"].map(sizes.index)).sort_values("at")
    values = rows_by(estimates[estimates["scope"] == "macro"], "kind", "metric", "size")
    behind = [values["global", "log_loss", size]["n_countries"] for size in sizes]
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), _PANELS, strict=True):
        own = ordered[ordered["metric"] == metric]
        # what a country has at 0 patients is the others' model
        its_own = np.where(own["size"] == NONE, "global", "personal")
        alone = own[(own["scope"] == "country") & (own["kind"] == its_own)]
        for _, rows in alone.groupby("country"):
            axes.plot(rows["at"], rows["value"], color="#b0b0b0", linewidth=0.6, zorder=1)
        macro = own[own["scope"] == "macro"]
        kinds = [kind for kind in KIND_NAMES if (macro["kind"] == kind).any()]
        for i, kind in enumerate(kinds):
            rows = macro[macro["kind"] == kind]
            at = rows["at"] + 0.08 * (i - (len(kinds) - 1) / 2)
            axes.vlines(at, rows["low"], rows["high"], color=_COLORS[kind], linewidth=1.1)
            axes.plot(
                at, rows["value"], "o", color=_COLORS[kind], markersize=3.5, label=KIND_NAMES[kind],
                linestyle="--" if kind == "took_part" else "-",
            )  # fmt: skip
        better = "higher is better" if metric == "roc_auc" else "lower is better"
        axes.set(
            xticks=range(len(sizes)),
            xticklabels=[f"{size}\n({n:.0f})" for size, n in zip(sizes, behind, strict=True)],
            xlabel="training patients of the country (countries that have so many)",
            ylabel=f"{_PANELS[metric]} ({better})",
        )
    legend_below(figure, figure.axes[0], 2)
    return figure


def new_country_table(estimates: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Lay out the means over countries, a row per number of patients.

    Returns:
        Text cells: ``Patients`` (that a country comes with), ``Countries`` (that have so many),
        then macro ROC-AUC of each kind of model, and what fine-tuning gains in ROC-AUC and
        log-loss over the others' model and in ROC-AUC over the country's patients alone, with
        intervals and verdicts.
    """
    values = rows_by(estimates[estimates["scope"] == "macro"], "kind", "metric", "size")
    gains = _gains(differences)
    compared = {
        "Fine-tuned minus the others' model: ROC-AUC": ("global", "roc_auc", 3),
        "the same: log-loss": ("global", "log_loss", 4),
        "Fine-tuned minus own patients alone: ROC-AUC": ("local", "roc_auc", 3),
    }
    table = [
        {
            "Patients": size,
            "Countries": f"{values['global', 'roc_auc', size]['n_countries']:.0f}",
            **{
                f"ROC-AUC: {name[:1].lower()}{name[1:]}": with_interval(
                    values[kind, "roc_auc", size]
                )
                for kind, name in KIND_NAMES.items()
            },
            **{
                name: _judged(gains["personal", reference, metric, size], digits)
                for name, (reference, metric, digits) in compared.items()
            },
        }
        for size in sizes_in_order(estimates)
    ]
    return pd.DataFrame(table, dtype="str")


def _judged(row: Row, digits: int) -> str:
    """Return a difference with its interval and verdict."""
    found = signed(row, digits)
    said = row.get("verdict")
    return f"{found}, {said}" if isinstance(said, str) and said else found


def new_country_sentences(
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    sites: tuple[str, str],
    margins: Mapping[str, float],
) -> list[str]:
    """Say what the tables show.

    Args:
        estimates: of :func:`ms_pfl.studies.unseen_site.compare.measure`.
        differences: of the same.
        sites: singular and plural of what holds the data, such as ``("country", "countries")``.
        margins: by metric, the largest difference that does not matter.
    """
    site, plural = sites
    macro = rows_by(estimates[estimates["scope"] == "macro"], "kind", "metric", "size")
    gains = _gains(differences)
    n = estimates.loc[estimates["scope"] == "country", "country"].nunique()
    lines = [
        f"{n} {plural if n != 1 else site} left out, one after the other: the model of the others "
        f"has there a macro ROC-AUC of {with_interval(macro['global', 'roc_auc', NONE])}."
    ]
    lines += _left_out(estimates, site, plural)
    pooled = rows_by(differences[differences["scope"] == "pooled"], *_COMPARED)
    row = pooled["took_part", "global", "roc_auc", NONE]
    if not math.isnan(row["difference"]):
        lines.append(verdict_sentence(row, f"Federated with each {site}", "without it", margins))
    most = sizes_in_order(estimates)[-1]

    def compared(kind: str, model: str, size: str, metric: str) -> list[str]:
        row = gains[kind, "global", metric, size]
        if math.isnan(row["difference"]):
            return []
        return [verdict_sentence(row, model, "the others' model", margins)]

    for metric in _PANELS:
        lines += compared("took_part", f"Federated with the {site}", NONE, metric)
        lines += compared("local", "Local with all its patients", most, metric)
    pays = {metric: pays_from(differences, metric) for metric in _PANELS}
    told = [
        f"by {_PANELS[metric]} from {size} patients on"
        if size != ALL
        else f"by {_PANELS[metric]} with all patients"
        for metric, size in pays.items()
        if size is not None
    ]
    if told:
        lines.append(
            f"A personal model pays {' and '.join(told)}: from there on it is better than the "
            f"others' model in the mean over {plural}."
        )
    for metric in (metric for metric, size in pays.items() if size is None):
        lines.append(
            f"By {_PANELS[metric]} no number of patients tried makes a personal model pay."
        )
        lines += compared("personal", "Fine-tuned with all its patients", most, metric)
    lines.append(
        f"Means over seeds and over the {plural} that have so many training patients, so that the "
        f"{plural} behind the points differ. Each difference by itself: 95 % interval, p and "
        "verdict from one standard error, by a bootstrap of the test patients."
    )
    return lines


def _left_out(estimates: pd.DataFrame, site: str, plural: str) -> list[str]:
    """Say how each site is served by the model that never saw it, and whether that was expected."""
    own = estimates[(estimates["size"] == NONE) & (estimates["metric"] == "roc_auc")]
    values = rows_by(own, "kind", "scope")
    pooled, with_all = values["global", "pooled"], values["took_part", "pooled"]
    if math.isnan(pooled["value"]):
        return []
    lines = [
        f"Leave one {site} out: with each {site} scored by the model that never saw it, pooled "
        f"ROC-AUC is {with_interval(pooled)}; by the model of all, {with_interval(with_all)}."
    ]
    further = values["took_part", FURTHER]
    alone = own[(own["kind"] == "global") & (own["scope"] == "country")]
    alone = alone[alone["expected_low"].notna()]
    if len(alone) and not math.isnan(further["value"]):
        held = alone["value"].between(alone["expected_low"], alone["expected_high"]).sum()
        lines.append(
            f"From the values of the model of all, a further {site} was to expect a ROC-AUC of "
            f"{with_interval(further)} (random effects, 95 % prediction interval). So many of the "
            f"{plural} with enough test patients have, when left out, a value in the interval that "
            f"the other {plural} lead one to expect, the chance of their own test patients "
            f"included: {held} of {len(alone)}."
        )
    return lines


def _gains(differences: pd.DataFrame) -> Mapping[tuple[str, ...], Row]:
    macro = differences[differences["scope"] == "macro"]
    return rows_by(macro, *_COMPARED)
