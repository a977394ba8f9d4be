"""Which runs still have a process.

A process that is killed cannot close its run in MLflow. So each holds a locked file as long as it
lives; the system drops the lock with the process, however it ends.
"""

import fcntl
from pathlib import Path
from typing import IO

from ms_pfl.files import make_folder

_held: dict[Path, IO[str]] = {}


def hold(project_path: Path, run_id: str) -> None:
    """Show that the run has this process."""
    path = _folder(project_path) / run_id
    make_folder(path.parent)
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held[path] = file


def release(project_path: Path, run_id: str) -> None:
    """Note that a run has ended, or that nobody will end it."""
    (_folder(project_path) / run_id).unlink(missing_ok=True)
    abandon(project_path, run_id)


def abandon(project_path: Path, run_id: str) -> None:
    """Leave a run that could not be ended to the next one, as if its process were gone."""
    if (file := _held.pop(_folder(project_path) / run_id, None)) is not None:
        file.close()


def orphans(project_path: Path) -> list[str]:
    """Return runs of the project that nobody has ended and whose process is gone."""
    found = []
    for path in sorted(_folder(project_path).glob("*")):
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives
            found.append(path.name)
    return found


def _folder(project_path: Path) -> Path:
    return project_path.resolve() / "mlruns" / ".open"
