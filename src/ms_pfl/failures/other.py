"""Memory, databases, configuration files, packages, and what other programs report."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from ms_pfl.failures.disk import NO_PROCESS, path_of
from ms_pfl.failures.kinds import AGAIN, LONGEST, Failure, first_that_applies, named, one_line


def explain_memory(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain a lack of memory, of this machine, a worker process or a GPU."""
    text = str(error)
    runtime_text = text if isinstance(error, RuntimeError) else ""
    return first_that_applies(
        (
            named(error, "ray.RayActorError", "ray.OutOfMemoryError", "ray.WorkerCrashedError"),
            "A worker process died again and again, as happens where memory is short",
            "lower ray.num_workers (0: no workers, which needs the least), " + AGAIN,
        ),
        (
            "CUDA" in runtime_text
            or named(error, "torch.OutOfMemoryError", "torch.AcceleratorError"),
            f"The GPU failed: {one_line(text, 120)}",
            "end other programs on it, lower ray.num_workers, or compute on the CPU "
            "(--params=device=cpu)",
        ),
        (
            isinstance(error, MemoryError)
            or getattr(error, "errno", None) == errno.ENOMEM
            or re.search(r"allocate memory|not enough mem", runtime_text) is not None,
            "This machine has not enough free memory",
            "end other programs, lower ray.num_workers, or take a machine with more, " + AGAIN,
        ),
        (
            "can't start new thread" in runtime_text,
            NO_PROCESS.cause,
            NO_PROCESS.remedy,
        ),
    )


def explain_database(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain what SQLite reports."""
    text = str(error)
    return first_that_applies(
        *(
            (
                named(error, "sqlite3.Error") and words in text,
                f"The database cannot be used: {cause}",
                f"{remedy}, {AGAIN}",
            )
            for words, cause, remedy in _DATABASE
        )
    )


_DATABASE = (
    ("locked", "another program is writing to it", "end it or wait"),
    ("readonly", "it may not be written", "make the file and its folder writable"),
    ("full", "the disk is full", "free some space"),
    ("unable to open", "it cannot be opened", "check that its folder exists and is writable"),
    ("malformed", "it is damaged", "move it away"),
    ("not a database", "it is no database", "move it away"),
    ("disk I/O", "the disk reports an error", "check for free space and a sound disk"),
)
"""What stands in an error of SQLite -> cause and remedy."""


def explain_configuration(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain a file of conf/ that cannot be read."""
    remedy = f"correct that file (was it copied only in part?), {AGAIN}"
    if named(error, "yaml.YAMLError"):
        mark = getattr(error, "problem_mark", None)
        if mark is None or not Path(mark.name).suffix:
            # Kedro names file and line in its own error, which has no mark
            whole = next((one for one in causes if "YAML or JSON file" in str(one)), error)
            return Failure(one_line(str(whole), LONGEST).rstrip("."), remedy)
        problem = getattr(error, "problem", None) or "not YAML"
        return Failure(f"{mark.name}, line {mark.line + 1}: {problem}", remedy)
    if named(error, "omegaconf.OmegaConfBaseException"):
        first = one_line(str(error).strip().split("\n")[0], LONGEST)
        key = getattr(error, "full_key", None)
        place = f" at {key!r}" if key else ""
        return Failure(f"A setting{place} cannot be read: {first}", "correct it in conf/")
    if named(error, "kedro.MissingConfigException"):
        text = one_line(str(error), LONGEST).rstrip(".")
        return Failure(text, "check --env and the files in conf/")
    return None


def explain_packages(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain packages that are missing or of other versions."""
    ours = (getattr(error, "name", None) or "").startswith("ms_pfl")
    if not isinstance(error, ImportError) or ours:
        return None
    return Failure(
        f"The installed packages are not those of this project: {one_line(str(error), 160)}",
        "install them with `python -m pip install -r requirements.lock`",
    )


def explain_system(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain any other error of the system in its own words."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return None
    place = f" ({path})" if (path := path_of(error, causes)) else ""
    return Failure(f"The system reports: {error.strerror}{place}", f"see to it, {AGAIN}")


def explain_mlflow(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain what MLflow reports in its own words."""
    if not named(error, "mlflow.MlflowException"):
        return None
    return Failure(f"MLflow reports: {one_line(str(error), LONGEST)}", "see docs/mlflow.md")
