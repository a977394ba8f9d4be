"""Ray, and the pool of its workers of this process: started once, used by all trainings.

Ray starts on this machine, or joins a cluster; where that fails, the cause is named.
"""

import atexit
import logging
import math
import os
import re
import resource
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from ms_pfl.errors import InputError
from ms_pfl.failures import failure_of, one_line
from ms_pfl.federation.flower import ENVIRONMENT
from ms_pfl.federation.grids.ray.pool import WorkerPool
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.learning.parameters import Device

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


@dataclass
class _State:
    pool: WorkerPool | None = None
    key: tuple[RayParameters, bool] | None = None
    cores: int = 0
    started_ray: bool = False


_state = _State()
_lock = threading.RLock()


def worker_pool(
    parameters: RayParameters, device: Device, countries: int | None = None
) -> WorkerPool:
    """Return the pool of this process: started at the first call, and again when its settings
    change.

    Args:
        parameters: where Ray is and how many workers there should be.
        device: what the clients compute on; ``cpu`` leaves GPUs to others.
        countries: ``num_workers: auto`` starts no more workers than these; None: one per core. A
            pool that has fewer, though there are cores, is replaced.

    Raises:
        InputError: Ray does not start, no cluster answers at the address, or it has no room for
            the workers.
    """
    key = (parameters, device == "cpu")
    with _lock:
        pool = _state.pool
        if pool is not None and _state.key == key:
            enough = _state.cores if countries is None else min(countries, _state.cores)
            if parameters.num_workers != "auto" or len(pool.workers) >= enough:
                return pool
        shutdown()
        if not ray.is_initialized():
            start_ray(parameters)
            _state.started_ray = True
            atexit.register(_shutdown_at_exit)
        try:
            resources = ray.cluster_resources()
            _state.cores = cores = int(resources.get("CPU", 1))
            asked = parameters.num_workers
            workers = min(cores, countries or cores) if asked == "auto" else asked
            if workers > cores:
                raise InputError(
                    f"ray.num_workers is {workers}, but Ray has {cores} CPU cores; lower it"
                )
            gpus = int(resources.get("GPU", 0)) if device != "cpu" else 0
            share = gpu_share(workers, gpus)
            if gpus and parameters.gpus_per_worker != "auto":
                share = parameters.gpus_per_worker
            if gpus and workers > (room := workers_on(gpus, share)):
                raise InputError(
                    f"ray.gpus_per_worker is {share:g}, which leaves room for {room} workers on "
                    f"{gpus} GPUs, not for {workers}; lower it or ray.num_workers, or set auto"
                )
            _state.pool, _state.key = WorkerPool(workers, share, on_give_up=_given_up), key
        except BaseException:
            shutdown()
            raise
        return _state.pool


def gpu_share(workers: int, gpus: int) -> float:
    """GPUs for each worker: whole ones, or a part of one that lets the workers pack.

    Ray gives a worker parts of one GPU only, or whole GPUs; it counts in ten-thousandths.

    >>> gpu_share(workers=3, gpus=2), gpu_share(workers=2, gpus=3)
    (0.5, 1.0)
    """
    if workers <= gpus:
        return float(gpus // workers)
    return (10_000 // math.ceil(workers / gpus)) / 10_000 if gpus else 0.0


def workers_on(gpus: int, share: float) -> int:
    """How many workers with so many GPUs each fit on some GPUs.

    >>> workers_on(gpus=2, share=0.3), workers_on(gpus=5, share=2.0)
    (6, 2)
    """
    return gpus // int(share) if share >= 1 else gpus * int(1 / share)


def _given_up(pool: WorkerPool) -> None:
    if _state.pool is pool:
        shutdown()


def shutdown() -> None:
    """End the workers, and Ray if it was started here. Safe to call at any time."""
    with _lock:
        pool, _state.pool, _state.key = _state.pool, None, None
        if pool is not None:
            pool.stopped = True
        if _state.started_ray:
            _state.started_ray = False
            atexit.unregister(_shutdown_at_exit)
            stop_ray()
        elif pool is not None and ray.is_initialized():
            pool.stop()


def _shutdown_at_exit() -> None:
    """End Ray when the process ends, whatever happens: the run has its result already."""
    with suppress(Exception):
        shutdown()


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
    """Return what Ray's processes have written last about an error that ended them."""
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
