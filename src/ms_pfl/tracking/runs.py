"""A run in MLflow: a parent with the headline metrics, a child a paradigm, strategy and seed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.comparison import summarize
from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.evaluation.names import METRICS, model_name, models_in_order
from ms_pfl.tracking.alive import hold, orphans, release
from ms_pfl.tracking.models import ModelToLog, log_models
from ms_pfl.tracking.naming import flatten, metric_part, metric_parts
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.store import experiment_id, open_client, quietly

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

STATUSES = ("FINISHED", "FAILED", "KILLED")
_METRICS_A_BATCH = 1000
_PARAMS_A_BATCH = 100
_HEADLINE_SCOPES = ("pooled", "macro", "weighted")
# (name, value, step)
_Point = tuple[str, float, int]


def open_parent(
    project_path: Path,
    settings: TrackingParameters,
    run_name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> str:
    """Start the parent run.

    A run of this project whose process was killed could not say so: it is closed as KILLED now.

    Args:
        project_path: the folder that holds ``mlflow.db`` and ``mlruns``.
        settings: the experiment.
        run_name: what the list of runs shows.
        params: the configuration, nested as it is; written flat (``ray.num_workers``).
        tags: such as the Kedro environment and pipeline.

    Returns:
        The run's id, for :func:`log_comparison` and :func:`close_parent`.

    Raises:
        InputError: the experiment belongs to another folder.
    """
    client = open_client(project_path)
    experiment = experiment_id(client, project_path, settings.experiment)
    for orphan in orphans(project_path):
        _close_if_running(client, orphan)
        release(project_path, orphan)
    run = client.create_run(experiment, run_name=run_name, tags=dict(tags))
    hold(project_path, str(run.info.run_id))
    _log(client, run.info.run_id, params=flatten(params))
    return str(run.info.run_id)


def _close_if_running(client: MlflowClient, run_id: str) -> None:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # it is in another store, or was deleted
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, status="KILLED")


def close_parent(run_id: str, status: str, *, project_path: Path) -> None:
    """End the parent run.

    Args:
        run_id: from :func:`open_parent`.
        status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        project_path: as for :func:`open_parent`.

    Raises:
        InputError: the status is none of the three.
    """
    if status not in STATUSES:
        raise InputError(f"MLflow status {status!r} is unknown; take one of {', '.join(STATUSES)}")
    open_client(project_path).set_terminated(run_id, status=status)
    release(project_path, run_id)


def log_comparison(
    run_id: str,
    metrics: pd.DataFrame,
    history: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    files: Mapping[str, Sequence[Path]],
    *,
    project_path: Path,
    note: str = "",
    gains: pd.DataFrame | None = None,
    data: DataToLog | None = None,
    models: Sequence[ModelToLog] = (),
    example: pd.DataFrame | None = None,
) -> list[str]:
    """Record a comparison: means over seeds on the parent, every fit in a child of its own.

    The parent has ``roc_auc_pooled/Fine-tuned FedAvg`` and so on, because MLflow's chart view
    is empty while parents are collapsed and only children carry metrics. A child has params
    and tags ``paradigm``, ``strategy`` and ``seed``; ``roc_auc/pooled`` and the other headline
    metrics, named alike in all children; ``roc_auc_by_country/Belgium``;
    ``validation_log_loss`` and ``validation_roc_auc`` by round; and its cost. What is before
    the slash is a section of the chart view. Undefined values are not written.

    Args:
        run_id: the parent, from :func:`open_parent`.
        metrics: the table of :func:`ms_pfl.evaluation.scoring.score`.
        history: the concatenated history tables of all fits.
        tables: name -> table, kept as ``tables/<name>.json``, which MLflow shows as a table.
        files: folder ("" for none) -> files, kept with the parent under their own names.
        project_path: as for :func:`open_parent`.
        note: Markdown that the parent's page shows as its description, such as Table 1.
        gains: the table of :func:`ms_pfl.evaluation.uncertainty.differences`; what each model gains
            in pooled ROC-AUC over federated training goes to the parent, with its interval.
        data: the episodes, as an entry under *Datasets used*; no row is kept.
        models: each kept with the child of its fit.
        example: rows that a model predicts from; needed with ``models``.

    Returns:
        The ids of the children.

    Raises:
        InputError: the history is malformed.
    """
    client = open_client(project_path)
    _log(client, run_id, points=[*_parent_points(metrics), *_gain_points(gains)])
    if data is not None:
        _log_data(client, run_id, data)
    if note:
        client.set_tag(run_id, "mlflow.note.content", note)
    _log_files(client, run_id, tables, files)
    experiment = client.get_run(run_id).info.experiment_id
    curves = learning_curves(history)
    keys = ["paradigm", "strategy", "seed"]
    fits_of_curves = dict(iter(curves.groupby(keys)))
    fits_of_history = dict(iter(history.groupby(keys)))
    fits_of_metrics = dict(iter(metrics.groupby(keys)))
    countries = metric_parts(sorted(set(metrics["country"]) - {""}))
    children: dict[tuple[str, str, int], str] = {}
    for paradigm, strategy in models_in_order(metrics):
        for fit in sorted(key for key in fits_of_metrics if key[:2] == (paradigm, strategy)):
            labels = {"paradigm": paradigm, "strategy": strategy, "seed": str(fit[2])}
            points = list(_metric_points(fits_of_metrics[fit], countries))
            if fit in fits_of_curves:  # absent when a paradigm's predictions came from elsewhere
                points += _curve_points(fits_of_curves[fit])
                points += _cost_points(fits_of_history[fit])
            key = (paradigm, strategy, int(str(fit[2])))
            children[key] = _log_child(client, experiment, run_id, labels, points)
    if example is not None:
        log_models(project_path, children, list(models), example)
    return list(children.values())


def _gain_points(differences: pd.DataFrame | None) -> Iterator[_Point]:
    """What each model gains over federated training, with the ends of its interval."""
    if differences is None:
        return
    own = differences[
        (differences["metric"] == "roc_auc")
        & (differences["scope"] == "pooled")
        & (differences["reference"] == "federated")
    ]
    for row in own.to_dict("records"):
        model = metric_part(model_name(row["paradigm"], row["strategy"]))
        for column, end in (("difference", ""), ("low", " - low"), ("high", " - high")):
            yield f"gain_over_federated/{model}{end}", float(row[column]), 0


@dataclass(frozen=True)
class DataToLog:
    """The episodes as MLflow lists them: what they are, and a digest of 32 digits at most."""

    episodes: pd.DataFrame
    name: str
    source: str
    digest: str


def _log_data(client: MlflowClient, run_id: str, data: DataToLog) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types.utils import _infer_schema

    episodes = data.episodes
    profile = {
        "episodes": len(episodes),
        "patients": len(episodes[["country", "patient_id"]].drop_duplicates()),
        "countries": int(episodes["country"].nunique()),
        "with the outcome": int(episodes["label"].sum()),
    }
    with quietly():
        schema = _infer_schema(episodes.head(100))
    dataset = Dataset(
        name=data.name,
        digest=data.digest,
        source_type="local",
        source=json.dumps({"description": data.source}),
        schema=json.dumps({"mlflow_colspec": schema.to_dict()}),
        profile=json.dumps(profile),
    )
    tags = [InputTag("mlflow.data.context", "training, validation and test")]
    client.log_inputs(run_id, [DatasetInput(dataset, tags)])


def _log_child(
    client: MlflowClient,
    experiment: str,
    parent: str,
    labels: Mapping[str, str],
    points: list[_Point],
) -> str:
    model = model_name(labels["paradigm"], labels["strategy"])
    run = client.create_run(
        experiment,
        run_name=f"{model}, seed {labels['seed']}",
        tags={**labels, "model": model, "mlflow.parentRunId": parent},
    )
    status = "FAILED"
    try:
        # params besides tags: the compare page reads params only
        _log(client, run.info.run_id, points=points, params=labels)
        status = "FINISHED"
    finally:
        client.set_terminated(run.info.run_id, status=status)
    return str(run.info.run_id)


def _parent_points(metrics: pd.DataFrame) -> list[_Point]:
    summary = summarize(metrics)
    headline = summary[summary["scope"].isin(_HEADLINE_SCOPES)]
    points = []
    for row in headline.to_dict("records"):
        model = metric_part(model_name(row["paradigm"], row["strategy"]))
        points.append((f"{row['metric']}_{row['scope']}/{model}", float(row["mean"]), 0))
    return points


def _metric_points(rows: pd.DataFrame, countries: Mapping[str, str]) -> Iterator[_Point]:
    for row in rows.to_dict("records"):
        if row["scope"] == "country":
            country = countries[row["country"]]
            yield f"{row['metric']}_by_country/{country}", float(row["value"]), 0
        else:
            yield f"{row['metric']}/{row['scope']}", float(row["value"]), 0
    behind = rows[(rows["metric"] == next(iter(METRICS))) & (rows["scope"] == "macro")]
    if len(behind):
        yield "test/countries_behind_macro_roc_auc", float(behind["n_countries"].iloc[0]), 0
        yield "test/single_class_countries", float(behind["n_left_out"].iloc[0]), 0


def _curve_points(curve: pd.DataFrame) -> Iterator[_Point]:
    for row in curve.to_dict("records"):
        for name in ("validation_log_loss", "validation_roc_auc"):
            yield name, float(row[name]), int(row["round"])
    used = curve.loc[curve["selected"].astype(bool), "round"]
    if len(used):
        yield "cost/selected_round", float(used.iloc[0]), 0


def _cost_points(rows: pd.DataFrame) -> Iterator[_Point]:
    yield "cost/rounds", float(rows["round"].max()), 0
    for column, name in (
        ("seconds", "client_seconds"),
        ("bytes_up", "bytes_up"),
        ("bytes_down", "bytes_down"),
    ):
        if column in rows:
            yield f"cost/{name}", float(rows[column].sum()), 0


def _log(
    client: MlflowClient,
    run_id: str,
    points: Sequence[_Point] = (),
    params: Mapping[str, str] | None = None,
) -> None:
    """Write in as few requests as the store allows: one log_metric a value takes 17 ms."""
    from mlflow.entities import Param

    entries = [Param(key, value) for key, value in (params or {}).items()]
    for start in range(0, len(entries), _PARAMS_A_BATCH):
        client.log_batch(run_id, params=entries[start : start + _PARAMS_A_BATCH])
    values = _as_metrics(points)
    for start in range(0, len(values), _METRICS_A_BATCH):
        client.log_batch(run_id, metrics=values[start : start + _METRICS_A_BATCH])


def _as_metrics(points: Sequence[_Point]) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value, step in points if math.isfinite(value)]


def _log_files(
    client: MlflowClient,
    run_id: str,
    tables: Mapping[str, pd.DataFrame],
    files: Mapping[str, Sequence[Path]],
) -> None:
    with quietly():
        for name, table in tables.items():
            client.log_table(run_id, table, f"tables/{name}.json")
    for folder, paths in files.items():
        for path in paths:
            client.log_artifact(run_id, str(path), folder or None)
