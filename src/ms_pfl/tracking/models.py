"""Trained models in MLflow: one that predicts for every country, a training."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import ms_pfl
from ms_pfl.tracking.loading import SERVED, code_digest

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.tracking import MlflowClient


#: Lies with each model, beside its code.
_README = """# A program

This MLflow model is a program: `mlflow.pyfunc.load_model` runs the Python file {name} that lies
here, with all rights of whoever loads it. Load it with `ms_pfl.tracking.loading.load_model`, which
runs it only if it is the file of the installed ms_pfl, byte by byte. When it was written, by ms_pfl
{version}, the SHA-256 of {name} was `{digest}`.

The arrays are safetensors and the rest is JSON: nothing is unpickled.
"""
#: Columns that the predictor's model gives, with their MLflow types.
RISK_COLUMNS = {
    "risk": "double",
    "risk_low": "double",
    "risk_high": "double",
    "range": "string",
    "model": "string",
}


@dataclass(frozen=True)
class ModelToLog:
    """A training of one seed, to be kept with the child run of that fit.

    Attributes:
        paradigm: as in the tables.
        strategy: as in the tables.
        seed: the seed.
        arrays: the trained arrays by name; the code finds them as the artifact ``arrays``, a
            safetensors file, so that nothing is unpickled.
        configuration: what the code needs besides; the artifact ``configuration``, a JSON file.
        code: the file that MLflow runs to load the model; it sets a ``PythonModel``.
    """

    paradigm: str
    strategy: str
    seed: int
    arrays: Mapping[str, np.ndarray]
    configuration: Mapping[str, Any]
    code: Path = SERVED / "model.py"


def example_rows(episodes: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return two made-up rows: the medians of all episodes, in the first and the last country.

    They go where the models go, so no row of a patient may be among them.

    Args:
        episodes: the episodes table.
        features: its feature columns, in the order of the models.

    Returns:
        ``country`` and the features, float64; NaN where a feature has no value at all.
    """
    countries = sorted(map(str, episodes["country"].unique()))
    ends = list(dict.fromkeys([countries[0], countries[-1]]))
    medians = episodes[list(features)].astype("float64").median()
    rows = pd.DataFrame([medians] * len(ends)).reset_index(drop=True)
    rows.insert(0, "country", pd.Series(ends, dtype="object"))
    return rows


@contextmanager
def logged_model(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    name: str,
    model: ModelToLog,
    example: pd.DataFrame,
) -> Iterator[str]:
    """Keep a model with a run; it is ready when the body of the ``with`` statement went well.

    Args:
        client: of the store.
        experiment: id of the experiment.
        run_id: the run that trained it.
        name: what MLflow lists it under.
        model: the model.
        example: rows of the table that it predicts from, such as :func:`example_rows`; its columns
            are the signature.

    Yields:
        The model's id in MLflow, for the metrics that belong to it.
    """
    from safetensors.numpy import save_file

    params = {"paradigm": model.paradigm, "strategy": model.strategy, "seed": str(model.seed)}
    kind = "probability of the outcome by country"
    with (
        _entry(client, experiment, run_id, name, kind, params) as entry,
        tempfile.TemporaryDirectory() as parent,
    ):
        arrays, told = Path(parent) / "arrays.safetensors", Path(parent) / "configuration.json"
        told.write_text(json.dumps(dict(model.configuration)))
        save_file({name: np.ascontiguousarray(a) for name, a in model.arrays.items()}, str(arrays))
        _save(client, entry, model.code, {"arrays": arrays, "configuration": told}, example, {})
        yield str(entry.model_id)


def log_predictor(
    client: MlflowClient, experiment: str, run_id: str, folder: Path, example: pd.DataFrame
) -> str:
    """Keep the predictor for new patients with a run; returns the model's id in MLflow.

    Args:
        client: of the store.
        experiment: id of the experiment.
        run_id: the run that made it.
        folder: of the predictor.
        example: as for :func:`logged_model`.
    """
    name, kind = "Predictor for new patients", "risk of a new patient by country"
    with _entry(client, experiment, run_id, name, kind, {}) as entry:
        _save(client, entry, SERVED / "predictor.py", {"predictor": folder}, example, RISK_COLUMNS)
    return str(entry.model_id)


def register_predictor(
    client: MlflowClient,
    name: str,
    model_id: str,
    run_id: str,
    description: str,
    tags: Mapping[str, str],
) -> int:
    """Register the predictor of a run as the next version of a model; returns its number.

    Args:
        client: of the store.
        name: of the registered model, created where it does not exist.
        model_id: from :func:`log_predictor`.
        run_id: the run that made it.
        description: of the version, as Markdown.
        tags: of the version.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(
            name, description="Risks for new patients (docs/prediction.md)"
        )
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    # its folder: MLflow would look for an address of the kind models:/ in its global store
    place = str(client.get_logged_model(model_id).artifact_location)
    version = client.create_model_version(
        name, place, run_id, tags=dict(tags), description=description, model_id=model_id
    )
    return int(version.version)


@contextmanager
def _entry(
    client: MlflowClient, experiment: str, run_id: str, name: str, kind: str, params: dict[str, str]
) -> Iterator[LoggedModel]:
    """Open a model's entry in the store, and close it as ready or failed."""
    # MLflow's log_model would need its global address, which may be somebody's notebook's
    entry = client.create_logged_model(
        experiment, name=name, source_run_id=run_id, params=params, model_type=kind
    )
    status = "FAILED"
    try:
        yield entry
        status = "READY"
    finally:
        client.finalize_logged_model(entry.model_id, status)


def _save(
    client: MlflowClient,
    entry: LoggedModel,
    code: Path,
    artifacts: Mapping[str, Path],
    example: pd.DataFrame,
    outputs: Mapping[str, str],
) -> None:
    """Write a model and put it into the store; ``outputs`` empty: one number per row."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    columns = [
        ColSpec("string" if name == "country" else "double", name) for name in example.columns
    ]
    digest = code_digest(code)
    given = [ColSpec(kind, name) for name, kind in outputs.items()] or [ColSpec("double")]
    with tempfile.TemporaryDirectory() as parent, _quiet():
        folder = Path(parent) / "model"
        save_model(
            str(folder),
            python_model=str(code),
            artifacts={name: str(path) for name, path in artifacts.items()},
            mlflow_model=Model(
                artifact_path=entry.artifact_location,
                model_uuid=entry.model_id,
                run_id=entry.source_run_id,
                model_id=entry.model_id,
            ),
            signature=ModelSignature(inputs=Schema(columns), outputs=Schema(given)),
            input_example=example,
            # without them MLflow runs the model in a process of its own to find out
            pip_requirements=[f"ms_pfl=={ms_pfl.__version__}"],
            metadata={"program": code.name, "program_sha256": digest},
        )
        text = _README.format(name=code.name, version=ms_pfl.__version__, digest=digest)
        (folder / "README.md").write_text(text, encoding="utf-8")
        client.log_model_artifacts(entry.model_id, str(folder))
    client.log_outputs(entry.source_run_id, [LoggedModelOutput(entry.model_id, step=0)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's advice on type hints, which a table with custom features cannot have."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
