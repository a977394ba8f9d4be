"""Names and values as MLflow accepts them: parameters, and points of its charts.

What is before the slash of a name is a section of the chart view.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ms_pfl.evaluation.differences import PRIMARY
from ms_pfl.evaluation.inference import VERDICTS
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.evaluation.scoring import summarize
from ms_pfl.paradigms import Training, paradigms_with

_KEY_LENGTH = 250
_VALUE_LENGTH = 6000
_FORBIDDEN = re.compile(r"[^\w\-. :]")
_NOT_IN_METRICS = re.compile(r"[^\w\-.:]")
# (name, value, step)
Point = tuple[str, float, int]

_HEADLINE_SCOPES = ("pooled", "macro", "weighted")
_HEADLINE_METRIC = next(iter(METRICS))
_SURE_SCOPES = ("pooled", "macro")


def metric_part(name: str) -> str:
    """Return a name as one part of a metric's name, such as a country after the slash.

    Letters of any script, digits and ``_ - . :`` stay; anything else becomes ``_``: what MLflow
    refuses, spaces, which a search would have to quote, and slashes, because the part before the
    slash is what the chart view groups by.

    >>> metric_part("Côte d'Ivoire")
    'Côte_d_Ivoire'
    """
    part = _NOT_IN_METRICS.sub("_", name)[:200]
    return part if part.strip(".") else part.replace(".", "_") or "_"


def metric_parts(names: list[str]) -> dict[str, str]:
    """Return the metric part of every name, numbered where two names would fall together."""
    parts: dict[str, str] = {}
    for name in sorted(names):
        part, number = metric_part(name), 2
        while part in parts.values():
            part, number = f"{metric_part(name)}_{number}", number + 1
        parts[name] = part
    return parts


def flatten(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as MLflow params: dotted keys, text values, lengths cut.

    >>> flatten({"ray": {"num_workers": 2}, "seeds": [0, 1]})
    {'ray.num_workers': '2', 'seeds': '[0, 1]'}
    """
    flat: dict[str, str] = {}
    for key, value in parameters.items():
        name = f"{prefix}{_FORBIDDEN.sub('_', str(key))}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            flat[name[:_KEY_LENGTH]] = text[:_VALUE_LENGTH]
    return flat


def parent_points(
    metrics: pd.DataFrame,
    estimates: pd.DataFrame | None = None,
    gains: pd.DataFrame | None = None,
) -> list[Point]:
    """Return the headline of a run, one value per model.

    The run's page lists them in this order, so what it is opened for comes first.
    ``<metric>_<scope>/<training>`` are means over seeds. With intervals given, there are also
    ``roc_auc_pooled_low/<training>`` and ``_high``, and the gain of each personalized model over
    the federated one of the same strategy, ``gain_roc_auc_pooled/<training>``, with its ``_low``
    and ``_high``; the same for ``macro``. The other metrics have their intervals in the tables: one
    section each would bury those that the page is opened for.

    Args:
        metrics: the table of :func:`ms_pfl.evaluation.scoring.score`.
        estimates: paradigm, strategy, scope, country, metric, low, high.
        gains: paradigm, strategy, reference, reference_strategy, scope, metric, difference,
            low, high.
    """
    summary = summarize(metrics)
    headline = summary[summary["scope"].isin(_HEADLINE_SCOPES)]
    first = _of_headline(headline)
    others = headline.drop(first.index)
    if estimates is not None:
        keys = ["paradigm", "strategy", "scope", "country", "metric"]
        first = first.merge(estimates[[*keys, "low", "high"]], on=keys, how="left")
    points = _model_points(first, "mean")
    if gains is not None:
        same = (gains["reference"] == paradigms_with("global")[0].name) & (
            gains["reference_strategy"] == gains["strategy"]
        )
        points += _model_points(_of_headline(gains[same]), "difference", "gain_")
    return points + _model_points(others, "mean")


def verdict_tags(differences: pd.DataFrame) -> dict[str, str]:
    """Return the verdicts on the primary comparisons as tags of a run.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.

    >>> row = {"paradigm": "local", "strategy": "none", "reference": "centralized",
    ...     "reference_strategy": "pooled", "scope": "pooled", "metric": "roc_auc",
    ...     "role": "primary", "verdict": "worse"}
    >>> verdict_tags(pd.DataFrame([row]))
    {'verdict_roc_auc_pooled/local.none_against_centralized.pooled': 'worse'}
    """
    own = differences[(differences["role"] == PRIMARY) & differences["verdict"].isin(VERDICTS)]
    tags = {}
    for row in own.to_dict("records"):
        reference = Training(str(row["reference"]), str(row["reference_strategy"])).name
        pair = f"{_model(row)}_against_{metric_part(reference)}"
        tags[f"verdict_{row['metric']}_{row['scope']}/{pair}"] = str(row["verdict"])
    return tags


def _model_points(rows: pd.DataFrame, column: str, prefix: str = "") -> list[Point]:
    """Return one value per row, and the bounds of its interval where the table has them."""
    suffixes = {column: "", "low": "_low", "high": "_high"}
    return [
        (f"{prefix}{row['metric']}_{row['scope']}{suffix}/{_model(row)}", float(row[name]), 0)
        for row in rows.to_dict("records")
        for name, suffix in suffixes.items()
        if name in row
    ]


def _of_headline(rows: pd.DataFrame) -> pd.DataFrame:
    own = rows[(rows["metric"] == _HEADLINE_METRIC) & rows["scope"].isin(_SURE_SCOPES)]
    return own.sort_values("scope", key=lambda names: names.map(_SURE_SCOPES.index), kind="stable")


def _model(row: Mapping[Any, Any]) -> str:
    return metric_part(Training(str(row["paradigm"]), str(row["strategy"])).name)


def overall_points(rows: pd.DataFrame) -> list[Point]:
    """Return the test metrics of one fit over all countries, and what stands behind them.

    Args:
        rows: those of one fit, of the table of :func:`ms_pfl.evaluation.scoring.score`.
    """
    overall = rows[rows["scope"] != "country"]
    points = [
        (f"{row['metric']}/{row['scope']}", float(row["value"]), 0)
        for row in overall.to_dict("records")
    ]
    behind = overall[(overall["metric"] == _HEADLINE_METRIC) & (overall["scope"] == "macro")]
    if len(behind):
        points += [
            ("test/countries_behind_macro_roc_auc", float(behind["n_countries"].iloc[0]), 0),
            ("test/single_class_countries", float(behind["n_left_out"].iloc[0]), 0),
        ]
    return points


def country_points(rows: pd.DataFrame, countries: Mapping[str, str]) -> list[Point]:
    """Return the test metrics of one fit country by country.

    Those of calibration are left out: of one country they are mostly noise, and they would double
    the time that it takes to log a run.

    Args:
        rows: those of one fit, of the table of :func:`ms_pfl.evaluation.scoring.score`.
        countries: country -> its part of the metric's name.
    """
    shown = [name for name, metric in METRICS.items() if metric.over_sites]
    return [
        (f"{row['metric']}_by_country/{countries[row['country']]}", float(row["value"]), 0)
        for row in rows[(rows["scope"] == "country") & rows["metric"].isin(shown)].to_dict(
            "records"
        )
    ]


def curve_points(curve: pd.DataFrame) -> Iterator[Point]:
    """Yield the validation curves of one fit by round, and the round that was used.

    Args:
        curve: rows of one fit, of the table of :func:`ms_pfl.evaluation.curves.learning_curves`.
    """
    for row in curve.to_dict("records"):
        for name in ("validation_log_loss", "validation_roc_auc"):
            yield name, float(row[name]), int(row["round"])
    used = curve.loc[curve["selected"].astype(bool), "round"]
    if len(used):
        yield "cost/selected_round", float(used.iloc[0]), 0


def cost_points(rows: pd.DataFrame) -> Iterator[Point]:
    """Yield what one fit has cost, from its rows of the history."""
    yield "cost/rounds", float(rows["round"].max()), 0
    for column, name in (
        ("seconds", "client_seconds"),
        ("bytes_up", "bytes_up"),
        ("bytes_down", "bytes_down"),
    ):
        if column in rows:
            yield f"cost/{name}", float(rows[column].sum()), 0
