"""The one training program: in simulation, on a cluster and between real sites.

What differs is the grid that is opened under it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from ms_pfl.errors import InputError
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import PARADIGMS, Paradigm, Training, trainings
from ms_pfl.training.outcome import ProgressReport

if TYPE_CHECKING:
    from ms_pfl.training.resume import UnfinishedTraining
    from ms_pfl.training.settings import TrainingSettings
    from ms_pfl.training.task import OpenGrid, SeedResult, Sites, Start


def train(
    training: Training,
    sites: Sites,
    settings: TrainingSettings,
    seeds: tuple[int, ...],
    *,
    device: Device,
    open_grid: OpenGrid,
    store: UnfinishedTraining,
    report: Callable[[ProgressReport], None],
    starts: Mapping[int, Start] | None = None,
) -> Iterator[SeedResult]:
    """Train a paradigm with a strategy, once a seed; yield each seed's result as it is done.

    Args:
        training: paradigm and strategy, see :func:`check_training`.
        sites: who takes part.
        settings: of all trainings.
        seeds: of splits and initial weights.
        device: what the clients compute on.
        open_grid: opens a grid with one node a site (or ``pooled``) and seed.
        store: where a run keeps what it came to; what one that was cut off has left there is gone
            on from, with the same bits.
        report: called as each seed begins, after every round or epoch, and at the seed's end.
        starts: by seed the models to start from, for a paradigm that trains on from another one's;
            None: that one is trained first.

    Raises:
        InputError: settings that cannot be used, or with which a training diverges.
        ClientError: a client failed; the error names it.
    """
    from ms_pfl.training.task import Task

    row = check_training(training)
    left: list[int] = []
    for seed in seeds:
        if (result := store.result(seed)) is None:
            left.append(seed)
            continue
        note = "taken over from a run that was cut off"
        report(ProgressReport(seed, 0, 1, math.nan, finished=True, note=note))
        yield result
    if not left:
        return
    task = Task(
        training=training,
        sites=sites,
        settings=settings,
        device=device,
        open_grid=open_grid,
        report=report,
        seeds=tuple(left),
        checkpoints=store.checkpoints,
        starts=starts or {},
    )
    module, function = str(row.program).split(":")
    program = getattr(import_module(f"ms_pfl.training.programs.{module}"), function)
    for result in program(task):
        store.keep(result)
        yield result


def check_training(training: Training) -> Paradigm:
    """Return the row of a training's paradigm.

    Raises:
        InputError: there is no such paradigm, or it is not trained with that strategy.
    """
    paradigm, strategy = training
    trained = dict.fromkeys(known.paradigm for known in trainings())
    if paradigm not in trained:
        raise InputError(f"there is no paradigm {paradigm!r}; there are: {', '.join(trained)}")
    row = PARADIGMS[paradigm]
    if strategy not in row.strategies:
        if len(row.strategies) == 1:
            raise InputError(
                f"{paradigm} has no strategy to choose: it is {row.strategies[0]!r}, not "
                f"{strategy!r}"
            )
        raise InputError(
            f"{paradigm} is not trained with a strategy {strategy!r}; there are: "
            f"{', '.join(row.strategies)}"
        )
    return row
