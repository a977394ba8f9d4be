"""Gains, calibration, fairness and subgroups as text cells for the report and MLflow."""

from __future__ import annotations

import math

import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.evaluation.recalibration import RECALIBRATED
from ms_pfl.paradigms import model_key, model_name, paradigm_name
from ms_pfl.reporting.headline import p_value, signed

_MISSING = "–"
# metric, scope and decimals
_GAINS = (
    ("roc_auc", "pooled", 3),
    ("roc_auc", "macro", 3),
    ("brier", "pooled", 4),
)


def gains_table(differences: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Lay out what each model gains over a reference, with intervals and adjusted p.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.inference.planned_differences`.
        reference: a paradigm that others are compared with.

    Returns:
        Text cells, a row a model: ``Model``, difference and ``p`` (Holm) of pooled and macro
        ROC-AUC, the countries that gain, Wilcoxon's p over countries (Holm), then the pooled Brier
        score. Several columns are called ``p``.
    """
    rows = differences[(differences["reference"] == reference) & (differences["country"] == "")]
    found = {
        (row["paradigm"], row["strategy"], row["metric"], row["scope"]): row
        for _, row in rows.iterrows()
    }
    columns = ["Model"]
    for metric, scope, _ in _GAINS:
        columns += [f"{METRICS[metric].label} {scope}", "p"]
        columns += ["Gaining", "p Wilcoxon"] if scope == "macro" else []
    table = []
    # what was trained first
    for model in sorted(
        {key[:2] for key in found}, key=lambda model: (model[0] in RECALIBRATED, model_key(*model))
    ):
        cells = [model_name(*model)]
        for metric, scope, digits in _GAINS:
            row = found.get((*model, metric, scope))
            if row is None:
                cells += [_MISSING] * (4 if scope == "macro" else 2)
                continue
            cells += [signed(row, digits), p_value(row["p_holm"])]
            if scope == "macro":
                cells += [
                    f"{row['n_better']:.0f} of {row['n_countries']:.0f}",
                    p_value(row["wilcoxon_p_holm"]),
                ]
        table.append(cells)
    return pd.DataFrame(table, columns=columns, dtype="str")


def calibration_table(estimates: pd.DataFrame) -> pd.DataFrame:
    """Lay out the calibration of every model, all countries together.

    Args:
        estimates: the table of :func:`ms_pfl.evaluation.inference.add_intervals`.

    Returns:
        Text cells, a row a model: ``Model``, Brier score, log-loss, calibration error, intercept,
        slope, observed over expected; intervals in brackets where there are any.
    """
    own = estimates[estimates["scope"] == "pooled"]
    shown = [metric for metric in METRICS.values() if metric.best != "high"]
    found = {
        (row["paradigm"], row["strategy"], row["metric"]): row for row in own.to_dict("records")
    }
    table = []
    for model in sorted({key[:2] for key in found}, key=lambda model: model_key(*model)):
        cells = {"Model": model_name(*model)}
        for metric in shown:
            row = found.get((*model, metric.name))
            cells[metric.label] = with_interval(row, metric.digits) if row else _MISSING
        table.append(cells)
    return pd.DataFrame(table, dtype="str")


def with_interval(row: dict, digits: int = 3) -> str:
    """A value and its interval, ``0.712 [0.690, 0.733]``.

    >>> with_interval({"value": 0.7123, "low": 0.69, "high": 0.7333})
    '0.712 [0.690, 0.733]'
    >>> with_interval({"value": 0.021, "low": float("nan"), "high": float("nan")})
    '0.021'
    """
    if math.isnan(row["value"]):
        return _MISSING
    text = f"{row['value']:.{digits}f}"
    if math.isnan(row["low"]):
        return text
    return f"{text} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def fairness_table(fairness: pd.DataFrame) -> pd.DataFrame:
    """Lay out how ROC-AUC and Brier score are spread over countries.

    Args:
        fairness: the table of :func:`ms_pfl.evaluation.fairness.fairness`.

    Returns:
        Text cells, a row a model: ``Model``, then for each metric the worst value with its
        country, the bottom decile, the sd, and the share of countries above local training.
    """
    rows = {
        (row["paradigm"], row["strategy"], row["metric"]): row
        for row in fairness.to_dict("records")
    }
    table = []
    for model in sorted({key[:2] for key in rows}, key=lambda model: model_key(*model)):
        cells = {"Model": model_name(*model)}
        for metric in ("roc_auc", "brier"):
            row = rows.get((*model, metric))
            name = METRICS[metric].label
            spread = math.nan if row is None else row["sd"]  # of one country there is none
            share = math.nan if row is None else row["share_above_local"]
            cells |= {
                f"{name} worst": f"{row['worst']:.3f} ({row['worst_country']})" if row else "–",
                f"{name} bottom decile": f"{row['bottom_decile']:.3f}" if row else "–",
                f"{name} sd": "–" if math.isnan(spread) else f"{spread:.3f}",
                f"{name} better than local": "–" if math.isnan(share) else f"{100 * share:.0f} %",
            }
        table.append(cells)
    return pd.DataFrame(table, dtype="str")


def subgroup_table(subgroups: pd.DataFrame, metric: str = "roc_auc") -> pd.DataFrame:
    """Lay out a metric by subgroup, a column a model.

    Args:
        subgroups: the table of :func:`ms_pfl.evaluation.subgroups.score_subgroups`.
        metric: ``roc_auc``, ``brier`` or ``observed_expected``.

    Returns:
        Text cells, a row a level: ``Subgroup``, ``Level``, ``Episodes``, ``With outcome``, then a
        column a model.
    """
    # of the two recalibrations the plain one is enough to see
    own = subgroups[
        (subgroups["metric"] == metric) & (subgroups["paradigm"] != "recalibrated_slope")
    ]
    models = sorted(
        set(zip(own["paradigm"], own["strategy"], strict=True)), key=lambda model: model_key(*model)
    )
    table = []
    for (name, level), rows in own.groupby(["subgroup", "level"], sort=False):
        first = rows.iloc[0]
        share = first["n_positive"] / first["n_episodes"] if first["n_episodes"] else math.nan
        cells = {
            "Subgroup": str(name),
            "Level": str(level),
            "Episodes": f"{first['n_episodes']:,.0f}",
            "With outcome": _MISSING if math.isnan(share) else f"{100 * share:.1f} %",
        }
        for row in rows.to_dict("records"):
            cells[model_name(row["paradigm"], row["strategy"])] = with_interval(
                row, METRICS[metric].digits
            )
        table.append(cells)
    columns = ["Subgroup", "Level", "Episodes", "With outcome", *(model_name(*m) for m in models)]
    return pd.DataFrame(table, columns=columns).fillna(_MISSING).astype("str")


def choice_table(
    differences: pd.DataFrame, countries: pd.DataFrame, site: str, strategy: str
) -> pd.DataFrame:
    """Lay out, country by country, what the personalized models gain over the federated one.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.inference.planned_differences`.
        countries: the table of :func:`ms_pfl.reporting.tables.country_table`; its order is kept.
        site: what a country is called.
        strategy: the federated strategy.

    Returns:
        Text cells: ``Country``, ``Patients``, ``Episodes``, the gain in ROC-AUC of each
        personalized paradigm (its interval in brackets), and what the intervals say: paradigms
        whose interval lies above 0, those below, or that none is told apart.
    """
    own = differences[
        (differences["reference"] == "federated")
        & (differences["scope"] == "country")
        & (differences["metric"] == "roc_auc")
        & (differences["strategy"] == strategy)
    ]
    own = own[own["difference"].notna()]
    paradigms = sorted(
        (p for p in own["paradigm"].unique() if not p.startswith("recalibrated")),
        key=lambda name: model_key(name, ""),
    )
    found = {(row["country"], row["paradigm"]): row for _, row in own.iterrows()}
    table = []
    for country in countries.itertuples():
        cells = {
            f"{site[:1].upper()}{site[1:]}": str(country.country),
            "Patients": f"{country.n_patients:,}",
            "Episodes": f"{country.n_episodes:,}",
        }
        better, worse = [], []
        for paradigm in paradigms:
            row = found.get((country.country, paradigm))
            cells[f"{paradigm_name(paradigm)}: gain"] = _MISSING if row is None else signed(row)
            if row is not None and row["low"] > 0:
                better.append(paradigm_name(paradigm))
            if row is not None and row["high"] < 0:
                worse.append(paradigm_name(paradigm))
        parts = [f"{' and '.join(better)} better"] if better else []
        parts += [f"{' and '.join(worse)} worse"] if worse else []
        rows = [found[key] for p in paradigms if (key := (country.country, p)) in found]
        if not rows:
            said = "not both classes in the test split of any seed"
        elif all(math.isnan(row["low"]) for row in rows):
            said = f"fewer than {MIN_PATIENTS} test patients"
        else:
            said = "; ".join(parts) or "not told apart"
        cells["Than federated"] = said
        table.append(cells)
    return pd.DataFrame(table, dtype="str")
