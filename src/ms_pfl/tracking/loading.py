"""Load a model of MLflow: a program, which is run only if it is one of this package's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import ms_pfl
from ms_pfl.errors import InputError
from ms_pfl.input_files import check_yaml, read_regular
from ms_pfl.text import shown

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

SERVED = Path(__file__).parent / "served"
#: What MLflow imports to run a file of code; another module would be run in its place.
_LOADER = "mlflow.pyfunc.loaders.code_model"
#: What may stand in the file MLmodel of such a model; more would be imported or unpickled.
_KNOWN = {
    "artifacts", "cloudpickle_version", "code", "config", "env", "loader_module",
    "model_code_path", "python_version", "streamable",
}  # fmt: skip
_MEGABYTES = 4  # of a file of code, or of MLmodel


def load_model(place: str | Path) -> PyFuncModel:
    """Load a model that this package has kept in MLflow, and no other.

    ``mlflow.pyfunc.load_model`` runs whatever code lies with a model. Here its code has to be, byte
    by byte, that of the installed package.

    Args:
        place: as MLflow takes it, such as ``models:/m-…``, or a model's folder.

    Raises:
        InputError: the model is of another version or somebody else's, and was not run.
    """
    import mlflow.artifacts
    import mlflow.pyfunc

    folder = Path(place)
    if not folder.is_dir():
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=str(place)))
    check_program(folder)
    return mlflow.pyfunc.load_model(str(folder))


def check_program(folder: Path) -> None:
    """Raise an InputError where loading a model's folder would run other code than ours."""
    told = _of_python(folder)
    code, more = told.get("model_code_path"), sorted(set(told) - _KNOWN)
    reason = ""
    if told.get("loader_module") != _LOADER or told.get("code") or more or not code:
        example = f" ({more[0]})" if more else ""
        reason = f"its MLmodel asks for more than one file of code{example}"
    else:
        name = Path(str(code)).name
        if name not in [path.name for path in SERVED.glob("*.py")]:
            reason = f"it runs {name}, which is no file of this package"
        elif code_digest(folder / name) != code_digest(SERVED / name):
            reason = f"its {name} is not that of the installed ms_pfl {ms_pfl.__version__}"
    for of in _artifacts(told):
        if not (folder / of).resolve().is_relative_to(folder.resolve()):
            reason = reason or f"it reads {of}, which is not in its folder"
    if reason:
        raise InputError(
            f"the model in {shown(folder)} is not run: {shown(reason)}; load it with the version "
            "that wrote it, or create it again"
        )


def code_digest(path: Path) -> str:
    """Return the SHA-256 of a file of code.

    Raises:
        InputError: it is absent, or no regular file.
    """
    try:
        return hashlib.sha256(read_regular(path, _MEGABYTES)).hexdigest()
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror})") from None


def _of_python(folder: Path) -> dict[str, Any]:
    """Return what MLmodel says of how Python runs the model."""
    path = folder / "MLmodel"
    try:
        check_yaml(path)
        told = yaml.safe_load(read_regular(path, _MEGABYTES))["flavors"]["python_function"]
        return {str(name): value for name, value in told.items()}
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror})") from None
    except InputError:
        raise
    except Exception as error:  # it may hold anything
        raise InputError(
            f"{shown(path)} is damaged ({type(error).__name__}); create the model again"
        ) from None


def _artifacts(told: dict[str, Any]) -> list[str]:
    try:
        return [str(of["path"]) for of in (told.get("artifacts") or {}).values()]
    except (AttributeError, TypeError, KeyError):
        return [".."]  # no list of files of its own
