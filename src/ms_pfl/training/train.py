"""Train one paradigm with one strategy over all seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.training.outcome import Outcome, ProgressReport
from ms_pfl.training.parameters import ParadigmParameters

if TYPE_CHECKING:
    from ms_pfl.training.resume import UnfinishedTrainings


@dataclass(frozen=True)
class Paradigm:
    """An entry of the table of paradigms.

    ``program`` is ``module:function`` in this package, imported when it is needed; ``sections``
    are its own sections of :class:`ParadigmParameters`; ``strategy`` is what the strategy is
    called where there is none to choose, else None.
    """

    program: str
    sections: tuple[str, ...]
    strategy: str | None = None
    from_federated: bool = False


PARADIGMS: dict[str, Paradigm] = {
    "centralized": Paradigm("centralized:centralized", ("centralized",), strategy="pooled"),
    "local": Paradigm("local:local", ("local",), strategy="none"),
    "federated": Paradigm("federated:federated", ("federated",)),
    "fine_tuned": Paradigm(
        "fine_tuned:fine_tuned", ("federated", "fine_tuned"), from_federated=True
    ),
    "adaptive": Paradigm("adaptive:adaptive", ("federated",)),
}


def train(
    paradigm: str,
    strategy: str,
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    features: Sequence[str] | None,
    parameters: ParadigmParameters,
    grid_parameters: RayParameters,
    federated_models: dict[str, np.ndarray] | None,
    report: Callable[[ProgressReport], None],
    unfinished: UnfinishedTrainings | None = None,
    every_rounds: int = 1,
) -> Outcome:
    """Train one paradigm with one strategy, once a seed of the splits table, and predict.

    Args:
        paradigm: centralized, local, federated, fine_tuned or adaptive.
        strategy: fedavg or fedprox; ``pooled`` for centralized, ``none`` for local.
        episodes: episode_id, patient_id, country, label (0/1) and the features.
        splits: patient_id, country, seed, split (train, validation or test).
        features: the feature columns; all but ids, t0 and label if None.
        parameters: network, training, strategies and the paradigms' own settings.
        grid_parameters: where the clients run.
        federated_models: the ``models`` of the federated outcome of the same strategy, for
            fine_tuned; ignored by the others.
        report: called as each seed begins, after every round or epoch, and at the seed's end.
        unfinished: where a run keeps what it came to; what one that was cut off has left there
            is gone on from, with the same bits. None: nothing is kept.
        every_rounds: how often a federation is written down there.

    Returns:
        Predictions, history and models, as :class:`Outcome` says.

    Raises:
        InputError: tables or settings that cannot be used, or with which a training diverges.
        ms_pfl.federation.exchange.ClientError: a client failed; the error names its country.
    """
    from ms_pfl.federation.grids.named import Node
    from ms_pfl.federation.grids.open import open_grid
    from ms_pfl.federation.partitions import federation_data, redrawn
    from ms_pfl.learning.training import resolve_device
    from ms_pfl.training.assembly import assemble, federated_starts, stamp_of
    from ms_pfl.training.resume import UnfinishedTraining, training_key
    from ms_pfl.training.task import SeedResult, Task

    entry = _entry(paradigm, strategy)
    if grid_parameters.address is None or grid_parameters.num_workers == 0:
        resolve_device(parameters.device)  # a missing GPU is said before anything starts
    federated_data = data = federation_data(episodes, splits, features)
    if entry.from_federated and parameters.protocol.fine_tuning_rows == "redrawn":
        data = federation_data(episodes, redrawn(splits), features)

    def stamp(name: str) -> np.ndarray:
        rows = data if name == paradigm else federated_data
        return stamp_of(name, strategy, PARADIGMS[name].sections, rows, parameters)

    earlier = UnfinishedTraining(None)
    if unfinished is not None:
        start = federated_models if entry.from_federated else None
        key = training_key(stamp(paradigm), start, parameters.device)
        earlier = unfinished.training(f"{paradigm}.{strategy}", key, every_rounds)
    results: dict[int, SeedResult] = {}
    for seed in data.seeds:
        if (result := earlier.result(seed)) is not None:
            results[seed] = result
            note = "taken over from a run that was cut off"
            report(ProgressReport(seed, 0, 1, math.nan, finished=True, note=note))
    task = Task(
        data=data,
        parameters=parameters,
        strategy=parameters.strategies.of(strategy) if entry.strategy is None else None,
        federated=federated_starts(federated_models, data, parameters, stamp("federated"))
        if entry.from_federated
        else {},
        open_grid=lambda countries, seeds: open_grid(
            data,
            [Node(country, seed) for country in countries for seed in seeds],
            grid_parameters,
            parameters.device,
        ),
        report=report,
        seeds=tuple(seed for seed in data.seeds if seed not in results),
        checkpoints=earlier.checkpoints,
    )
    module, function = entry.program.split(":")
    program = getattr(import_module(f"ms_pfl.training.programs.{module}"), function)
    for result in program(task) if task.seeds else ():
        earlier.keep(result)
        results[result.seed] = result
    return assemble(
        paradigm, strategy, data, [results[seed] for seed in data.seeds], stamp(paradigm)
    )


def _entry(paradigm: str, strategy: str) -> Paradigm:
    if paradigm not in PARADIGMS:
        raise InputError(f"there is no paradigm {paradigm!r}; there are: {', '.join(PARADIGMS)}")
    entry = PARADIGMS[paradigm]
    if entry.strategy is not None and strategy != entry.strategy:
        raise InputError(
            f"{paradigm} has no strategy to choose: it is {entry.strategy!r}, not {strategy!r}"
        )
    return entry
