"""What to expect beyond this comparison: in a further site, and of the model for new patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ms_pfl.evaluation.choice import SERVED
from ms_pfl.evaluation.differences import PRIMARY
from ms_pfl.evaluation.inference import NO_VERDICT
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import is_trained, model_name, models_in_order
from ms_pfl.reporting.content import About, Content, Table, heading, note
from ms_pfl.reporting.verdicts import digits_of
from ms_pfl.reporting.words import (
    MISSING,
    Row,
    interval_end,
    percent,
    rows_by,
    signed,
    with_interval,
)

_VALUES = ("roc_auc", "log_loss", "observed_expected")
_DIFFERENCES = ("roc_auc", "log_loss")
_PAIR = ["paradigm", "strategy", "reference", "reference_strategy"]


def section(about: About, further_country: pd.DataFrame) -> Content | None:
    """Show what to expect in a further site; None where there are too few to tell."""
    known = further_country[further_country["low"].notna()]
    if known.empty:
        return None
    return [
        heading(about.fill("Values: what to expect in a further {site}")),
        Table(values_table(known)),
        heading(about.fill("Planned differences: what to expect in a further {site}")),
        Table(differences_table(known)),
        note(
            about.fill(
                "A further {site} is taken for one more of the same kind (random effects over the "
                "{sites} with enough test patients; Hartung and Knapp; 95 % prediction intervals "
                "for its true value). Good: ROC-AUC and observed / expected within the range of "
                "comparison.good; a difference that is not to the worse by more than the margin. "
                "Between: standard deviation of the true values between {sites}, of ROC-AUC on "
                "the logit scale, of observed / expected on the log scale."
            )
        ),
    ]


def values_table(further: pd.DataFrame) -> pd.DataFrame:
    """Lay out, model by model, the prediction intervals of a further site.

    Args:
        further: the table of :func:`ms_pfl.evaluation.further_country.further_country`.

    Returns:
        Text cells, a row per model: ``Model``, then for ROC-AUC, log-loss and observed / expected
        the mean with the interval of a further site, ``Between`` and, where a range is set,
        ``Good``.
    """
    own = further[further["reference"] == ""]
    found = rows_by(own, "paradigm", "strategy", "metric")
    rows = []
    for model in models_in_order(own):
        cells = [("Model", model_name(*model))]
        for metric in _VALUES:
            row = found[*model, metric]
            cells += [
                (METRICS[metric].label, _expected(row, METRICS[metric].digits)),
                ("Between", MISSING if pd.isna(row["tau"]) else f"{row['tau']:.3f}"),
            ]
            if further.loc[further["metric"] == metric, "probability_good"].notna().any():
                cells.append(("Good", percent(row["probability_good"], 0)))
        rows.append(cells)
    return _table(rows)


def differences_table(further: pd.DataFrame) -> pd.DataFrame:
    """Lay out, pair by pair, the prediction intervals of the difference in a further site.

    Returns:
        Text cells, a row per planned pair: ``Model``, ``Compared with``, then for ROC-AUC and
        log-loss the mean difference with the interval of a further site, ``Verdict`` and ``Good``.
    """
    own = further[further["reference"] != ""]
    found = rows_by(own, *_PAIR, "metric")
    rows = []
    for pair in own[_PAIR].drop_duplicates().itertuples(index=False, name=None):
        cells = [("Model", model_name(*pair[:2])), ("Compared with", model_name(*pair[2:]))]
        for metric in _DIFFERENCES:
            row = found[*map(str, pair), metric]
            expected = {name: row[name] for name in ("low", "high")} | {"difference": row["mean"]}
            said = row["verdict"]
            cells += [
                (METRICS[metric].label, signed(expected, digits_of(metric))),
                ("Verdict", said if isinstance(said, str) and said != NO_VERDICT else MISSING),
                ("Good", percent(row["probability_good"], 0)),
            ]
        rows.append(cells)
    return _table(rows)


def _expected(row: Row, digits: int) -> str:
    return with_interval({"value": row["mean"], "low": row["low"], "high": row["high"]}, digits)


def _table(rows: list[list[tuple[str, str]]]) -> pd.DataFrame:
    """Return a table of text cells; names of columns may repeat."""
    return pd.DataFrame(
        [[cell for _, cell in cells] for cells in rows],
        columns=[name for name, _ in rows[0]] if rows else [],
        dtype="str",
    )


def further_sentence(further: pd.DataFrame, pooled: pd.DataFrame, site: str) -> str:
    """Say what to expect of the primary comparisons in a further site; empty where not known.

    Args:
        further: the table of :func:`ms_pfl.evaluation.further_country.further_country`.
        pooled: planned differences in pooled ROC-AUC.
        site: what a site is called.
    """
    primary = pooled.loc[pooled["role"] == PRIMARY, _PAIR]
    own = further[(further["metric"] == "roc_auc") & further["low"].notna()]
    own = own.merge(primary, on=_PAIR)
    parts = [
        f"{model_name(row['paradigm'], row['strategy'])} against "
        f"{model_name(row['reference'], row['reference_strategy'])} {interval_end(row['low'])} to "
        f"{interval_end(row['high'])} ({row['verdict']})"
        for row in own.to_dict("records")
    ]
    if not parts:
        return ""
    return f"In a further {site} of this kind expect these differences in ROC-AUC: " + (
        f"{'; '.join(parts)}."
    )


def choice_sentence(choice: Mapping[str, Any], estimates: pd.DataFrame) -> str:
    """Say what serves new patients and why, with its test scores beside the best single training's.

    Args:
        choice: a :class:`ms_pfl.evaluation.choice.Choice`.
        estimates: the table of :func:`ms_pfl.evaluation.differences.add_intervals`.
    """
    own = estimates[estimates["scope"] == "pooled"]
    found = rows_by(own, "paradigm", "strategy", "metric")
    losses = own[(own["metric"] == "log_loss") & own["paradigm"].map(is_trained).astype(bool)]
    losses = losses.dropna(subset=["value"])
    text = " ".join(choice["why"])
    served = found[SERVED, "none", "log_loss"]
    if losses.empty or pd.isna(served["value"]):
        return text
    best = losses.loc[losses["value"].idxmin()]
    model = str(best["paradigm"]), str(best["strategy"])

    def scores(name: tuple[str, str]) -> str:
        log_loss, roc_auc = found[*name, "log_loss"], found[*name, "roc_auc"]
        return f"log-loss {with_interval(log_loss, 4)}, ROC-AUC {with_interval(roc_auc)}"

    return (
        f"{text} On test patients it has {scores((SERVED, 'none'))}; the single training with the "
        f"lowest test log-loss, {model_name(*model)}, {scores(model)}."
    )
