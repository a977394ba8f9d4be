"""What the server asks all clients of a fit before and after its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ms_pfl.federation.exchange import ask
from ms_pfl.federation.flower import ArrayRecord, ConfigRecord, RecordDict
from ms_pfl.federation.grids.named import NamedGrid
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.records import to_arrays, to_record
from ms_pfl.federation.scaler import Scaler, ScalerSums
from ms_pfl.federation.sums import SCALER, sum_over_sites


def federated_scaler(grid: NamedGrid, seed: int) -> Scaler:
    """The scaler of all countries' training rows, from the sums that each country sends."""
    total = sum_over_sites(grid, seed, SCALER)
    return Scaler.from_sums([ScalerSums(total["n"], total["sum"], total["sum-of-squares"])])


def prepare(
    grid: NamedGrid, seed: int, settings: ClientSettings, scaler: Scaler, after_round: int = 0
) -> None:
    """Give every client of the seed its settings and the scaler.

    ``after_round``: the round to go on from, where the clients keep their private state.
    """
    config = ConfigRecord(
        {"seed": seed, "settings": settings.model_dump_json(), "after-round": after_round}
    )
    content = RecordDict({"config": config, "scaler": to_record(vars(scaler))})
    ask(grid, "query.prepare", dict.fromkeys(grid.node_ids(seed), content))


@dataclass(frozen=True)
class Finished:
    """What the clients told at the end of a fit.

    ``probabilities`` by country of its validation and test rows, in the order of its rows, where
    the clients tell them; else ``metrics`` by country, which is all that a real site tells.
    """

    probabilities: dict[str, dict[str, np.ndarray]]
    metrics: dict[str, dict[str, int | float]]


def predict(
    grid: NamedGrid, seed: int, arrays: ArrayRecord | None, best_round: int, keep_as: str
) -> Finished:
    """Have every client predict its validation and test rows.

    Args:
        grid: the clients.
        seed: of the fit.
        arrays: the shared ones; None: each client uses the model that it trained itself.
        best_round: whose private state is used.
        keep_as: name of the training; a real site keeps model and predictions under it.
    """
    config = ConfigRecord({"best-round": best_round, "keep-as": keep_as})
    content = RecordDict({"config": config})
    if arrays is not None:
        content["arrays"] = arrays
    answers = ask(grid, "query.predict", dict.fromkeys(grid.node_ids(seed), content))
    by_country = {grid.nodes[node_id].country: reply for node_id, reply in answers.items()}
    return Finished(
        {c: to_arrays(reply["arrays"]) for c, reply in by_country.items() if "arrays" in reply},
        {c: dict(reply["metrics"]) for c, reply in by_country.items() if "metrics" in reply},
    )
