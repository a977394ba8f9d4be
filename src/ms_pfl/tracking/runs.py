"""A run in MLflow: a parent with the headline metrics, one child per paradigm, strategy and seed.

That of a `kedro run` is opened before its first step, written once, and closed.
"""

from __future__ import annotations

import atexit
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.failure_log import keep_traceback
from ms_pfl.failures import explain, one_line
from ms_pfl.paradigms import Training, learner_of, model_key, model_name
from ms_pfl.provenance import git_commit, source_digest
from ms_pfl.spreadsheets import write_csv
from ms_pfl.tracking.alive import abandon, hold, orphans, release
from ms_pfl.tracking.models import log_predictor, logged_model, register_predictor
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.points import (
    Point,
    cost_points,
    country_points,
    curve_points,
    flatten,
    metric_parts,
    overall_points,
    parent_points,
    verdict_tags,
)
from ms_pfl.tracking.record import RunRecord
from ms_pfl.tracking.store import experiment_id, open_client, open_store, store_errors, tracking_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_METRICS_A_BATCH = 900  # MLflow takes 1,000 entries of all kinds together
_PARAMS_A_BATCH = 100
_ROWS_OF_A_TABLE = 10_000  # MLflow's page loads a table whole


class Recorder:
    """The parent run in MLflow and what is logged below it.

    Attributes:
        lost: why the run is not recorded; None: it is, so far.
    """

    def __init__(
        self,
        project: Path,
        settings: Mapping[str, Any],
        pipeline: str,
        env: str,
        params: Mapping[str, Any],
        *,
        command: str,
        needed: bool,
    ) -> None:
        """Open the parent run, which is closed as KILLED where the process ends before its run.

        Args:
            project: the project's folder.
            settings: the ``tracking`` block of the configuration.
            pipeline: name of what runs.
            env: Kedro environment.
            params: the configuration, nested as it is.
            command: that runs it, as one would type it.
            needed: False: a record that cannot be written does not stop the run, whose results are
                there already.

        Raises:
            InputError: the store cannot be used.
        """
        self.lost: str | None = None
        self._project, self._needed = project, needed
        self._run_id: str | None = open_parent(
            project,
            TrackingParameters.model_validate(settings),
            f"{pipeline} ({env})",
            params,
            {"pipeline": pipeline, "env": env, **_source_tags(project, command)},
        )
        atexit.register(self.fail, "KILLED")

    def write(self, record: RunRecord, files: Sequence[Path], figures: Path) -> None:
        """Log the comparison.

        Args:
            record: the comparison.
            files: kept with the parent run.
            figures: the folder of the figures, of which the record names those to keep; like
                ``files`` relative to the project.

        Raises:
            InputError: a file is absent or the store fails, where the record is needed.
        """
        assert self._run_id is not None
        kept = {
            "": [self._project / file for file in files],
            "figures": [self._project / figures / f"{name}.png" for name in record.figures],
        }
        try:
            for path in (*kept[""], *kept["figures"]):
                if not path.is_file():
                    raise InputError(
                        f"{path} does not exist; `kedro run --pipeline=reporting`, with the "
                        "settings of the run, makes it and records the run"
                    )
            with store_errors(tracking_uri(self._project)):
                log_comparison(self._run_id, record, kept, project_path=self._project)
        except Exception as error:
            self._lose(error)

    def finish(self) -> None:
        """Close the run as FINISHED, or as FAILED where its record is lost."""
        try:
            if self.lost is None:
                self._close("FINISHED")
            else:
                self.fail()
        except Exception as error:
            self._lose(error)

    def fail(self, status: str = "FAILED") -> None:
        """Close a run that has not finished; where that fails, the next run does it."""
        with suppress(Exception):
            self._close(status)

    def _lose(self, error: Exception) -> None:
        """Raise the error, or keep why the run is not recorded, and the traceback in the log."""
        if self._needed:
            raise error
        keep_traceback(error, self._project)
        self.lost = getattr(error, "cause", None) or explain(error) or one_line(repr(error))

    def _close(self, status: str) -> None:
        if self._run_id is not None:
            run_id, self._run_id = self._run_id, None
            close_parent(run_id, status, project_path=self._project)


def _source_tags(project: Path, command: str) -> dict[str, str]:
    """Return what was run: MLflow's own tags for the command and the commit, and our digest.

    The digest is that of the report: a commit does not tell what was changed since.
    """
    tags = {
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "source_digest": source_digest(),
    }
    commit = git_commit(project)
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


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
        InputError: the store cannot be used, or the experiment belongs to another folder.
    """
    client = open_store(project_path)
    with store_errors(tracking_uri(project_path)):
        experiment = experiment_id(client, project_path, settings.experiment)
        for orphan in orphans(project_path):
            _close_if_running(client, orphan)
            release(project_path, orphan)
        run_id = str(client.create_run(experiment, run_name=run_name, tags=dict(tags)).info.run_id)
        try:
            hold(project_path, run_id)
            _log(client, run_id, params=flatten(params))
        except BaseException:
            with suppress(Exception):  # what has gone wrong before is what matters
                close_parent(run_id, "FAILED", project_path=project_path)
            raise
    return run_id


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
        InputError: the store cannot be reached; the next run closes it then.
    """
    try:
        with store_errors(tracking_uri(project_path)):
            open_client(project_path).set_terminated(run_id, status=status)
            release(project_path, run_id)
    except BaseException:
        abandon(project_path, run_id)
        raise


def log_comparison(
    run_id: str, record: RunRecord, files: Mapping[str, Sequence[Path]], *, project_path: Path
) -> list[str]:
    """Record a comparison: means over seeds on the parent, every fit in a child of its own.

    The parent has ``roc_auc_pooled/fine_tuned.fedavg`` and so on
    (:func:`ms_pfl.tracking.points.parent_points`), because MLflow's chart view is empty while
    parents are collapsed and only children carry metrics. Tables become ``tables/<name>.json``,
    which MLflow shows as a table and lays beside that of other runs; one of more than 10,000 rows
    ``tables/<name>.csv``. Verdicts on primary comparisons are tags of the parent. A child has
    params and tags ``paradigm``, ``strategy``, ``learner`` and ``seed``; ``roc_auc/pooled`` and the
    other headline metrics, named alike in all children; ``roc_auc_by_country/Belgium``;
    ``validation_log_loss`` and ``validation_roc_auc`` by round; and its cost. Undefined values are
    not written.

    Args:
        run_id: the parent, from :func:`open_parent`.
        record: the comparison.
        files: folder ("" for none) -> files, kept with the parent under their own names.
        project_path: as for :func:`open_parent`.

    Returns:
        The ids of the children.

    Raises:
        InputError: the history is malformed.
    """
    client = open_client(project_path)
    intervals = (record.tables.get(name) for name in ("estimates", "differences"))
    _log(client, run_id, points=parent_points(record.metrics, *intervals))
    if "differences" in record.tables:
        for name, said in verdict_tags(record.tables["differences"]).items():
            client.set_tag(run_id, name, said)
    if record.note:
        client.set_tag(run_id, "mlflow.note.content", record.note)
    client.log_inputs(run_id, record.data.get(None, []))
    _log_tables(client, run_id, record.tables)
    for folder, paths in files.items():
        for path in paths:
            client.log_artifact(run_id, str(path), folder or None)
    experiment = client.get_run(run_id).info.experiment_id
    if record.predictor is not None and record.example is not None:
        model_id = log_predictor(client, experiment, run_id, record.predictor, record.example)
        register_predictor(
            client, f"{client.get_experiment(experiment).name}-predictor", model_id, run_id,
            record.verdict, {"source": record.source},
        )  # fmt: skip
    curves, history, metrics = (
        dict(iter(table.groupby(["paradigm", "strategy", "seed"])))
        for table in (learning_curves(record.history), record.history, record.metrics)
    )
    countries = metric_parts(sorted(set(record.metrics["country"]) - {""}))
    models = {(model.paradigm, model.strategy, model.seed): model for model in record.models}
    children = []
    for fit in sorted(metrics, key=lambda fit: (model_key(*map(str, fit[:2])), fit[2])):
        overall, points = overall_points(metrics[fit]), country_points(metrics[fit], countries)
        if fit in curves:  # absent when a paradigm's predictions came from elsewhere
            points += [*curve_points(curves[fit]), *cost_points(history[fit])]
        paradigm, strategy, seed = map(str, fit)
        labels = {
            "paradigm": paradigm,
            "strategy": strategy,
            "learner": learner_of(strategy),
            "seed": seed,
        }
        with _child_run(client, experiment, run_id, labels) as (child, name):
            client.log_inputs(child, record.data.get(int(seed), []))
            if fit in models and record.example is not None:
                with logged_model(
                    client, experiment, child, name, models[fit], record.example
                ) as model_id:
                    _log(client, child, points=overall, model_id=model_id)
            else:
                points = overall + points
            # params besides tags: the compare page reads params only
            _log(client, child, points=points, params=labels)
        children.append(child)
    return children


@contextmanager
def _child_run(
    client: MlflowClient, experiment: str, parent: str, labels: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Open the run of a fit and close it as what it has become; gives its id and a model's name."""
    training = Training(labels["paradigm"], labels["strategy"])
    model = model_name(*training)
    run = client.create_run(
        experiment,
        run_name=f"{model}, seed {labels['seed']}",
        tags={**labels, "model": model, "mlflow.parentRunId": parent},
    )
    run_id = str(run.info.run_id)
    status = "FAILED"
    try:
        yield run_id, training.argument  # MLflow takes no dot in a model's name
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status=status)


def _log(
    client: MlflowClient,
    run_id: str,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    model_id: str | None = None,
) -> None:
    """Write in as few requests as the store allows: one log_metric a value takes 17 ms."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    entries = [Param(key, value) for key, value in (params or {}).items()]
    values = [
        Metric(name, value, now, step, model_id=model_id)
        for name, value, step in points
        if math.isfinite(value)
    ]
    while entries or values:
        client.log_batch(
            run_id, metrics=values[:_METRICS_A_BATCH], params=entries[:_PARAMS_A_BATCH]
        )
        values, entries = values[_METRICS_A_BATCH:], entries[_PARAMS_A_BATCH:]


def _log_tables(client: MlflowClient, run_id: str, tables: Mapping[str, pd.DataFrame]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables.items():
            if len(table) <= _ROWS_OF_A_TABLE:
                # as objects: MLflow 3.17 asks pandas 3 for its text columns in a deprecated way
                text = {str(n): "object" for n, kind in table.dtypes.items() if kind == "str"}
                client.log_table(run_id, table.astype(text), f"tables/{name}.json")
            else:
                path = Path(folder) / f"{name}.csv"
                write_csv(table, path)
                client.log_artifact(run_id, str(path), "tables")
