"""What this machine reports: files, memory, databases, configuration files, packages, programs."""

import errno
import re
import resource
import shutil
from contextlib import suppress
from pathlib import Path

from ms_pfl.failures.kinds import AGAIN, LONGEST, Failure, first_that_applies, named, one_line
from ms_pfl.failures.network import is_network
from ms_pfl.files import WRITING

#: No process or thread can be started.
NO_PROCESS = Failure(
    "The system has no process or thread left for you",
    f"raise the limit (`ulimit -u`) or end other programs, {AGAIN}",
)


def path_of(error: BaseException, causes: list[BaseException]) -> str:
    """Return the file that an error is about, or an empty text."""
    for one in causes:
        for note in getattr(one, "__notes__", ()):
            if note.startswith(WRITING):
                return str(note.removeprefix(WRITING))
    for name in ("filename2", "filename"):
        if isinstance(value := getattr(error, name, None), (str, bytes, Path)):
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return ""


def explain_file(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain an error that the system reports of a file."""
    number = error.errno if isinstance(error, OSError) else _number_in(error)
    if number is None or number not in _DISK or is_network(error):
        return None
    path = path_of(error, causes)
    cause, remedy = _DISK[number]
    file = path or "the file"
    limit = f"the limit is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"
    return Failure(
        cause.format(file=file, disk=_disk_of(path), limit=limit),
        remedy.format(file=file, again=AGAIN),
    )


# What the system reports of files -> cause and remedy.
_DISK: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("{disk} is full: {file} cannot be written", "free some space, {again}"),
    errno.EDQUOT: (
        "Your disk quota is used up: {file} cannot be written",
        "remove files or ask for more, {again}",
    ),
    errno.EFBIG: (
        "{file} would be larger than this system allows a file to be",
        "raise the limit (`ulimit -f unlimited`) or move the project to another file system, "
        "{again}",
    ),
    errno.EROFS: (
        "{file} lies on a file system that is mounted read-only",
        "mount it writable or copy the project to a disk that is, {again}",
    ),
    errno.EACCES: (
        "You have no permission for {file}",
        "ask its owner for the right to read and write it, or work in a copy of the project that "
        "is yours, {again}",
    ),
    errno.EPERM: (
        "The system does not permit to write or change {file}",
        "ask its owner or the administrator for the right (`lsattr` shows a file that is locked), "
        "or work in a copy of the project that is yours, {again}",
    ),
    errno.EISDIR: (
        "{file} is a folder where a file belongs",
        "move the folder away, {again}",
    ),
    errno.ENOTDIR: (
        "{file}: a part of this path is a file where a folder belongs",
        "move that file away, {again}",
    ),
    errno.EEXIST: (
        "{file} exists already and is of another kind (a file where a folder belongs?)",
        "move it away, {again}",
    ),
    errno.ENOTEMPTY: ("{file} is a folder that is not empty", "move it away, {again}"),
    errno.ENAMETOOLONG: (
        "The path {file} is longer than this system allows",
        "move the project to a shorter path, {again}",
    ),
    errno.ELOOP: ("{file} is a link that leads back to itself", "correct the link, {again}"),
    errno.EMFILE: (
        "Too many files are open at once ({limit})",
        "raise the limit (`ulimit -n 65536`), {again}",
    ),
    errno.ENFILE: (
        "Too many files are open at once on this machine",
        "end other programs, {again}",
    ),
    errno.EIO: (
        "The disk reports an error at {file}",
        "check the disk or the network drive, {again}",
    ),
    errno.ESTALE: ("{file} lies on a network drive that was lost", "mount it again, {again}"),
    errno.ENOTCONN: ("{file} lies on a network drive that was lost", "mount it again, {again}"),
    errno.EBUSY: ("Another program uses {file}", "end it, {again}"),
    errno.EAGAIN: (NO_PROCESS.cause, NO_PROCESS.remedy),
    errno.ENOENT: ("{file} does not exist", "check the path, {again}"),
}


def _number_in(error: BaseException) -> int | None:
    """Return the number in the text of a library that is written in Rust."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _disk_of(path: str) -> str:
    with suppress(OSError, ValueError, StopIteration):
        folder = next(one for one in Path(path or ".").absolute().parents if one.is_dir())
        return f"The disk of {folder} ({shutil.disk_usage(folder).free / 2**20:,.0f} MB free)"
    return "The disk"


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
    return first_that_applies(
        *(
            (
                named(error, "sqlite3.Error") and words in str(error),
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
        return Failure(
            one_line(str(error), LONGEST).rstrip("."), "check --env and the files in conf/"
        )
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
