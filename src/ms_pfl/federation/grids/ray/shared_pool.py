"""The pool of Ray workers of this process: started once, used by all trainings."""

from __future__ import annotations

import atexit
import math
import threading
from contextlib import suppress
from dataclasses import dataclass

import ray

from ms_pfl.errors import InputError
from ms_pfl.federation.grids.ray.pool import WorkerPool
from ms_pfl.federation.grids.ray.start import start_ray, stop_ray
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.learning.parameters import Device


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
    """The pool of this process: started at the first call, and anew when its settings change.

    Args:
        parameters: where Ray is and how many workers there should be.
        device: what the clients compute on; ``cpu`` leaves GPUs to others.
        countries: ``num_workers: auto`` starts no more workers than these; None: one a core. A
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
