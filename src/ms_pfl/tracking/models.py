"""Trained models in MLflow, with signature and input example."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.tracking.store import open_client, quietly, tracking_uri


@dataclass(frozen=True)
class ModelToLog:
    """A training of one seed, to be kept with the child run of that fit.

    ``code``: the file that MLflow runs to load it; it finds ``arrays`` (safetensors) and
    ``configuration`` (JSON) among the artifacts of its context.
    """

    paradigm: str
    strategy: str
    seed: int
    code: Path
    arrays: Mapping[str, np.ndarray]
    configuration: Mapping[str, Any]


def log_models(
    project_path: Path,
    children: Mapping[tuple[str, str, int], str],
    models: list[ModelToLog],
    example: pd.DataFrame,
) -> None:
    """Log each model with the child run of its fit, under the name ``model``.

    Args:
        project_path: the folder that holds the store.
        children: (paradigm, strategy, seed) -> run id.
        models: those to log.
        example: some rows of the table that a model predicts from; its columns are the signature.
    """
    if not models:
        return
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema
    from safetensors.numpy import save_file

    kinds = {name: "string" if name == "country" else "double" for name in example.columns}
    signature = ModelSignature(
        inputs=Schema([ColSpec(kind, name) for name, kind in kinds.items()]),
        outputs=Schema([ColSpec("double")]),
    )
    open_client(project_path)  # sets what MLflow reads at import
    with _global_store(project_path), quietly(), tempfile.TemporaryDirectory() as folder:
        for model in models:
            arrays, told = Path(folder) / "arrays.safetensors", Path(folder) / "configuration.json"
            save_file({k: np.ascontiguousarray(a) for k, a in model.arrays.items()}, str(arrays))
            # in a file: MLflow would write a model_config among the run's params
            told.write_text(json.dumps(dict(model.configuration)))
            Model.log(
                artifact_path=None,
                name="model",
                flavor=mlflow.pyfunc,
                run_id=children[model.paradigm, model.strategy, model.seed],
                python_model=str(model.code),
                artifacts={"arrays": str(arrays), "configuration": str(told)},
                signature=signature,
                input_example=example,
                pip_requirements=[f"ms_pfl=={version('ms_pfl')}"],
            )


@contextmanager
def _global_store(project_path: Path) -> Iterator[None]:
    """Point MLflow's global address at the project's store; models are logged no other way."""
    import mlflow

    name = "MLFLOW_TRACKING_URI"
    before = os.environ.get(name)
    earlier = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(tracking_uri(project_path))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(earlier)
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
