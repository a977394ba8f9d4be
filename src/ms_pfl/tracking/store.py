"""The MLflow store of a project: whether it can be used, and a client that keeps quiet.

That it cannot be used is found in seconds, and said with a remedy.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ms_pfl.errors import InputError
from ms_pfl.failures import chain, failure_of, named, one_line
from ms_pfl.files import whole_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
#: How long a server may keep a run waiting, unless the environment says otherwise: MLflow's own
#: settings retry for minutes.
PATIENCE = {_RETRIES: "2", _TIMEOUT: "20"}
_FIRST = {_RETRIES: "0", _TIMEOUT: "10"}  # of the first request, which finds out
_SQLITE = "sqlite:///"
_ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",  # no warning where git is not installed
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    **PATIENCE,
}

# the web page then opens on training runs instead of traces of language models
_KIND = {"mlflow.experimentKind": "custom_model_development"}


class StoreError(InputError):
    """The MLflow store cannot be used."""

    def __init__(self, cause: str, remedy: str) -> None:
        """Keep the cause apart, for a run that ends well without its record."""
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause


def sqlite_address(path: Path) -> str:
    """Return the address of a database file, for MLflow and SQLAlchemy.

    >>> sqlite_address(Path("/data/50 %/mlflow.db"))
    'sqlite:////data/50 %25/mlflow.db'
    """
    # these two mean something in an address; all else stands for itself
    return _SQLITE + path.as_posix().replace("%", "%25").replace("?", "%3F")


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Name the store and the cause where something outside the program fails.

    Args:
        uri: of the store.

    Raises:
        StoreError: with cause and remedy.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        of_store = any(named(e, "mlflow.MlflowException", "sqlalchemy.SQLAlchemyError",
                             "sqlite3.Error") for e in chain(error))  # fmt: skip
        failure = failure_of(error)
        if failure is None and not of_store:
            raise
        cause = failure.cause if failure else one_line(str(error), 200)
        if uri.startswith("http"):
            remedy = (
                "start the server or check MLFLOW_TRACKING_URI; without that variable the run is "
                "recorded in mlflow.db of the project"
            )
        else:
            remedy = failure.remedy if failure else "see docs/mlflow.md"
        raise StoreError(f"MLflow at {_shown(uri)}: {cause}", remedy) from error


def check_store(uri: str) -> None:
    """Find out in seconds whether the store answers and may be written to.

    A SQLite database that is not there is made, whole or not at all.

    Args:
        uri: of the store.

    Raises:
        StoreError: it does not; the message says why.
    """
    with store_errors(uri):
        if uri.startswith(_SQLITE):
            _check_sqlite(uri, Path(unquote(uri.removeprefix(_SQLITE).partition("?")[0])))
        elif uri.startswith("http"):
            with _impatient():
                _first_request(uri)
        elif re.match(r"(postgresql|mysql|mssql)\b", uri):
            import sqlalchemy

            with closing(sqlalchemy.create_engine(uri).connect()):
                pass


def _check_sqlite(uri: str, path: Path) -> None:
    if not path.exists():
        with whole_file(path) as part:
            _first_request(sqlite_address(part))
        return
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    with closing(sqlite3.connect(path, timeout=5)) as database:
        database.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        version = "SELECT version_num FROM alembic_version"
        found = database.execute(version).fetchone() if "alembic_version" in tables else None
        database.rollback()
    if not tables:
        return
    if found is None:
        raise StoreError(
            f"MLflow at {uri}: the database is not one of MLflow, or was made only in part",
            "move it away; the next run makes a new one",
        )
    import mlflow
    from alembic.script import ScriptDirectory

    known = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
    if found[0] not in {script.revision for script in known.walk_revisions()}:
        raise StoreError(
            f"MLflow at {uri}: the database is of a newer MLflow than the installed "
            f"{mlflow.__version__} (its schema is {found[0]})",
            "install the packages that wrote it, or move it away; the next run makes a new one",
        )
    if found[0] != known.get_current_head():
        raise StoreError(
            f"MLflow at {uri}: the database is of an older MLflow",
            f"copy the file, then run `mlflow db upgrade {uri}`",
        )


def _first_request(uri: str) -> None:
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


@contextmanager
def _impatient() -> Iterator[None]:
    """Without retries, unless somebody has set other values than ours."""
    ours = [name for name, value in PATIENCE.items() if os.environ.get(name, value) == value]
    os.environ.update({name: _FIRST[name] for name in ours})
    try:
        yield
    finally:
        os.environ.update({name: PATIENCE[name] for name in ours})


def _shown(uri: str) -> str:
    """Return the address without the password that may be in it."""
    place = urlsplit(uri)
    return uri.replace(f"{place.username}:{place.password}@", "") if place.password else uri


def tracking_uri(project_path: Path) -> str:
    """Return where runs are recorded: ``MLFLOW_TRACKING_URI``, or the project's ``mlflow.db``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_address(
        project_path.resolve() / "mlflow.db"
    )


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

    # MLflow 3.17 uses an option that SQLAlchemy 2.1 calls deprecated; it cannot be fixed here.
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
    kept = url2pathname(urlsplit(experiment.artifact_location).path)
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
