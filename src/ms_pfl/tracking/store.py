"""The MLflow store of a project, and a client that keeps quiet."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from ms_pfl.errors import InputError
from ms_pfl.tracking.reach import PATIENCE, check_store, sqlite_address

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",  # no warning where git is not installed
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    **PATIENCE,
}

# the web page then opens on training runs instead of traces of language models
_KIND = {"mlflow.experimentKind": "custom_model_development"}


def tracking_uri(project_path: Path) -> str:
    """Return where runs are recorded: ``MLFLOW_TRACKING_URI``, or the project's ``mlflow.db``."""
    own = sqlite_address(project_path.resolve() / "mlflow.db")
    return os.environ.get("MLFLOW_TRACKING_URI") or own


def open_store(project_path: Path) -> MlflowClient:
    """Return a client of the project's store, once it is sure that the store can be used.

    Raises:
        StoreError: it cannot be; the message says why.
    """
    _prepare_mlflow()
    check_store(tracking_uri(project_path))
    return open_client(project_path)


def open_client(project_path: Path) -> MlflowClient:
    """Return a client of the project's store, which :func:`open_store` has checked.

    MLflow's global tracking address is left as it is, so that two projects in one process (or
    a notebook with a store of its own) do not get in each other's way.
    """
    _prepare_mlflow()
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri(project_path))


def _prepare_mlflow() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow.tracking  # noqa: F401  (which sets levels of its own)

    # MLflow 3.17 uses an option that SQLAlchemy 2.1 calls deprecated; nobody here can mend it.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
    # "Creating initial tables" is no news, and what a request says of its retries is said in
    # one line by the run.
    for name in ("mlflow", "alembic", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # What the database refuses is raised, too: no traceback beside it.
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)


def experiment_id(client: MlflowClient, project_path: Path, name: str) -> str:
    """Return the id of an experiment, made (or brought back from the bin) where need be.

    Its artifacts go to ``mlruns`` in the project, unless ``MLFLOW_TRACKING_URI`` names a store
    that decides for itself.

    Raises:
        InputError: the experiment keeps its artifacts in another folder, as happens when the
            project was moved together with its database.
    """
    own_store = not os.environ.get("MLFLOW_TRACKING_URI")
    folder = project_path.resolve() / "mlruns"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = folder.as_uri() if own_store else None
        return str(client.create_experiment(name, artifact_location=location, tags=_KIND))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    kept = url2pathname(urlparse(experiment.artifact_location).path)
    if own_store and Path(kept) != folder:
        raise InputError(
            f"mlflow.db: experiment {name!r} keeps its files in {experiment.artifact_location}, "
            f"not in this project (was it moved or copied?); set tracking.experiment to a new "
            f"name, or remove mlflow.db"
        )
    return str(experiment.experiment_id)


def runs_page(project_path: Path, experiment: str) -> str:
    """Return the address of an experiment's runs, as `mlflow ui` or the tracking server shows it.

    MLflow 3 opens on its pages for language models otherwise.
    """
    uri = tracking_uri(project_path)
    server = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    found = None
    with suppress(Exception):  # the address without the number is of use, too
        found = open_client(project_path).get_experiment_by_name(experiment)
    page = f"/experiments/{found.experiment_id}/runs" if found else "/experiments"
    return f"{server}/#{page}?workflowType=machine_learning"
