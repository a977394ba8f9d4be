"""Starting Ray on this machine, or joining a cluster, with the cause named where that fails."""

from __future__ import annotations

import logging
import os
import re
import resource
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from ms_pfl.errors import InputError
from ms_pfl.failures import failure_of, one_line
from ms_pfl.federation.flower import ENVIRONMENT
from ms_pfl.federation.parameters import RayParameters

# Ray adds session_<date>_<time>_<pid>/sockets/plasma_store to its folder, and a socket's path has
# at most 107 bytes (103 on macOS).
_LONGEST = 103 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
_PREFIX = "ms_pfl_"
_INNER = "r"  # Ray opens its folder to everybody; the one around it is ours alone
_NAME = len(f"/{_PREFIX}12345678/{_INNER}")
_FILES = 256  # Ray's processes do not start with fewer file handles
# an error or worse in the logs of Ray's processes
_SEVERE = re.compile(r"^\[\S+ \S+ [CFE] [^\]]*\] \(\w+\) \S+ (.*)", re.MULTILINE)
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
_folders: list[Path] = []
_WITHOUT = "or compute without Ray: --params=ray.num_workers=0 gives the same results"


def start_ray(parameters: RayParameters) -> None:
    """Start Ray on this machine, or join the cluster at ``ray.address``.

    Raises:
        InputError: that is not possible; the message says why.
    """
    if parameters.address is None:
        _start_here(parameters)
    else:
        _join(parameters.address)


def stop_ray() -> None:
    """End Ray, or leave the cluster, and remove what it kept on the disk."""
    ray.shutdown()
    _remove_folders()


def _remove_folders() -> None:
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


def _start_here(parameters: RayParameters) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = cores if parameters.num_workers == "auto" else parameters.num_workers
    _check_file_handles()
    folder = _session_folder()
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=wanted,
            _temp_dir=str(folder / _INNER),
            **_QUIET,
        )
    except BaseException as error:
        logged = _logged(folder)
        stop_ray()
        if not isinstance(error, Exception):
            raise
        failure = failure_of(error)
        cause = failure.cause if failure else logged or one_line(str(error), 200).rstrip(".")
        remedy = f"{failure.remedy}, {_WITHOUT}" if failure else _WITHOUT.removeprefix("or ")
        raise InputError(f"Ray does not start on this machine: {cause}; {remedy}") from error


def _logged(folder: Path) -> str:
    """What Ray's processes have written last about an error that ended them."""
    logs = folder / _INNER / "session_latest" / "logs"
    for name in ("raylet.err", "raylet.out", "gcs_server.err", "gcs_server.out"):
        with suppress(OSError):
            if said := _SEVERE.findall((logs / name).read_text(errors="replace")):
                return f"{name.partition('.')[0]}: {one_line(said[-1], 250)}"
    return ""


def _join(address: str) -> None:
    # workers of Ray that is started here inherit this process's environment
    environment = {"env_vars": {name: os.environ[name] for name in ENVIRONMENT}}
    try:
        _knock(address)
        ray.init(address=address, runtime_env=environment, **_QUIET)
    except OSError as error:
        reason = one_line(error.strerror or str(error), 120) or type(error).__name__
        raise InputError(
            f"ray.address: no Ray cluster answers at {address!r} ({reason}); "
            "start one (ray start --head) or set it to null"
        ) from error
    except Exception as error:  # other versions, or no address
        raise InputError(
            f"ray.address: the Ray cluster at {address!r} cannot be used: "
            f"{one_line(str(error), 200).rstrip('.')}; give it as HOST:PORT, with the versions of "
            "Python and Ray that run here, or set it to null"
        ) from error


def _knock(address: str) -> None:
    """Raise OSError if nobody listens there; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _session_folder() -> Path:
    """Make a folder for Ray's sockets and logs, of this run alone, with a path that is short.

    The folder for temporary files may have a long path (a job's folder of Slurm), and Ray's own
    ``/tmp/ray`` may belong to somebody else.
    """
    named = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir()]
    reasons = []
    for parent in dict.fromkeys(
        [*(name for name in named if name), "/tmp", "/var/tmp", "/dev/shm"]
    ):
        if len(os.fsencode(parent)) + _NAME > _LONGEST:
            reasons.append(f"{parent}: the path is too long")
            continue
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            _folders.append(folder)
            (folder / "probe").write_bytes(bytes(2**20))  # a full disk takes the folder alone
            (folder / "probe").unlink()
            return folder
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
            _remove_folders()
    raise InputError(
        "Ray needs a writable folder whose path has at most "
        f"{_LONGEST - _NAME} bytes ({'; '.join(reasons)}); name one in the environment "
        f"variable RAY_TMPDIR, {_WITHOUT}"
    )


def _check_file_handles() -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # Ray raises the soft limit to it
    if allowed != resource.RLIM_INFINITY and allowed < _FILES:
        raise InputError(
            f"Ray does not start with at most {allowed} open files; raise the limit "
            f"(`ulimit -n 8192`), {_WITHOUT}"
        )
