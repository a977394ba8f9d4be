"""A method's rounds over two sites of a few rows, to be redone by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from federation_examples import (
    XY,
    RecordingGrid,
    by_hand,
    federate,
    linear,
    nodes_of,
    prepared,
    settings,
)
from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.client import PRIVATE
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.flower import to_arrays, to_record
from ms_pfl.federation.parameters import ClientSettings, FedAvgParameters
from ms_pfl.federation.predictions import predict
from ms_pfl.federation.rounds import Federation, RoundState
from ms_pfl.personalization.method import SHARED

RATE, EPOCHS, ROUNDS = 1.5, 2, 3
DATA, SITES = by_hand()
SIZES = [len(site["train"][1]) for site in SITES]
Arrays = dict[str, np.ndarray]


def plain(paradigm: str, method: dict[str, object] | None = None) -> ClientSettings:
    """Two weights and a bias, trained by gradient steps on all rows of a site."""
    return linear(settings(paradigm, method, learning_rate=RATE))


@dataclass(frozen=True)
class Rounds:
    """What the rounds of a method have come to, and what has traveled."""

    done: Federation
    states: list[RoundState]
    probabilities: dict[str, Arrays]
    selected: dict[str, Arrays]
    traffic: list[tuple[str, str, dict[str, dict[str, object]]]]

    def shared(self, number: int) -> Arrays:
        """The shared arrays after a round."""
        return to_arrays(self.states[number - 1].arrays)

    def further(self, number: int, name: str) -> Arrays:
        """A further record after a round."""
        return to_arrays(self.states[number - 1].further[name])

    def private(self, number: int, site: str) -> Arrays:
        """The private state of a site after a round."""
        return _latest(self.states[number - 1], site)


def _latest(state: RoundState, site: str) -> Arrays:
    records = state.private[site]
    return to_arrays(records[max(records, key=lambda name: int(name.removeprefix(PRIVATE)))])


class Cut(Exception):
    """Stands for whatever ends a process."""


def play(
    told: ClientSettings,
    fraction: float = 1.0,
    resume: RoundState | None = None,
    cut: Checkpoints | None = None,
) -> Rounds:
    """Three rounds and the predictions; with ``cut`` a round, which is kept there, and an error."""
    states: list[RoundState] = []

    def keep(state: RoundState) -> None:
        states.append(state)
        if cut is not None:
            cut.keep(state)
            raise Cut

    with RecordingGrid(DATA, nodes_of(DATA)) as grid:
        prepared(grid, told)
        done = federate(
            grid, told, FedAvgParameters(epochs=EPOCHS), rounds=ROUNDS, fraction=fraction,
            n_features=2, resume=resume, keep=keep,
        )  # fmt: skip
        told_of = predict(grid, 0, to_record(done.arrays), done.best_round, "")
        selected = grid.export_state("selected")
        return Rounds(
            done,
            states,
            told_of.probabilities,
            {site: selected[Node(site, 0)] for site in DATA.countries},
            grid.traffic,
        )


def log_loss(w: np.ndarray, rows: XY) -> float:
    """Mean log-loss of logistic regression."""
    x, y = rows
    return float(np.mean(np.logaddexp(0, x @ w) - y * (x @ w)))


def assert_scores(rounds: Rounds, weights: list[list[np.ndarray]]) -> None:
    """Each round is scored with its own weights by site, and predictions are made of the best."""
    losses = []
    for number, by_site in enumerate(weights, start=1):
        rows = [row for row in rounds.done.history if row.round == number]
        for row, site, w in zip(rows, SITES, by_site, strict=True):
            expected = log_loss(w, site["validation"])
            np.testing.assert_allclose(row.validation_loss, expected, rtol=0, atol=1e-6)
        losses.append(sum(row.validation_loss for row in rows))
    best = int(np.argmin(losses)) + 1
    assert rounds.done.best_round == best < ROUNDS, "the last one would be no test"
    for name, site, w in zip(DATA.countries, SITES, weights[best - 1], strict=True):
        for split in ("validation", "test"):
            p = 1 / (1 + np.exp(-site[split][0] @ w))
            np.testing.assert_allclose(rounds.probabilities[name][split], p, rtol=0, atol=1e-6)


def assert_private_state_is_in_no_message(rounds: Rounds, records: set[str]) -> None:
    """No array of a private state that rounds 2 and 3 came to, under any name."""
    secrets = {
        array.tobytes()
        for number in (2, 3)
        for site in DATA.countries
        for array in rounds.private(number, site).values()
    }
    assert len(secrets) >= 4
    names, n_arrays = set(), 0
    for _, kind, content in rounds.traffic:
        for name, record in content.items():
            arrays = [value for value in record.values() if hasattr(value, "numpy")]
            n_arrays += len(arrays)
            if kind in ("train", "evaluate") and arrays:
                names.add(name)
            assert not {array.numpy().tobytes() for array in arrays} & secrets
    assert names == {SHARED} | records
    assert n_arrays > 20


def assert_goes_on(told: ClientSettings, folder: Path, fraction: float = 1.0) -> None:
    """Cut after each round in turn, the rounds come to the same bits."""
    checkpoints = Checkpoints(folder, "seed=0", every_rounds=1)
    whole = play(told, fraction)
    for number in range(1, ROUNDS + 1):
        try:
            play(told, fraction, checkpoints.latest(), checkpoints)
        except Cut:
            state = checkpoints.latest()
            assert state is not None
            assert state.round == number
    again = play(told, fraction, checkpoints.latest())
    assert again.done.best_round == whole.done.best_round
    for site in DATA.countries:
        for found, wanted in (
            (again.done.arrays, whole.done.arrays),
            (again.selected[site], whole.selected[site]),
            (again.probabilities[site], whole.probabilities[site]),
            (_latest(checkpoints.latest(), site), whole.private(ROUNDS, site)),  # type: ignore[arg-type]
        ):
            assert found.keys() == wanted.keys()
            assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
