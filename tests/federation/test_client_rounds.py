"""Rounds through the real ClientApp and grid, against steps worked out otherwise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from federation_examples import (
    RecordingGrid,
    data_of,
    initial,
    nodes_of,
    prepared,
    settings,
)

from ms_pfl.federation.engine import ConfigRecord, RecordDict
from ms_pfl.federation.exchange import ask
from ms_pfl.federation.grid import ClientError, LocalGrid, Node
from ms_pfl.federation.parameters import (
    ClientSettings,
    FedAvgParameters,
    FedProxParameters,
    RoundsParameters,
    StrategyParameters,
)
from ms_pfl.federation.partitions import FederationData
from ms_pfl.federation.records import to_arrays, to_record
from ms_pfl.federation.rounds import Federation, predict, run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.models import build_model, set_arrays
from ms_pfl.learning.scoring import Rows, predict_proba, score
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.training import train_epochs

FEDAVG = FedAvgParameters(epochs=1)
Arrays = dict[str, np.ndarray]


def federate(
    grid: LocalGrid,
    told: ClientSettings,
    strategy: StrategyParameters = FEDAVG,
    rounds: int = 1,
    patience: int | None = None,
) -> Federation:
    return run_rounds(
        grid,
        make_strategy(strategy, len(grid.nodes)),
        initial(told),
        seed=0,
        epochs=strategy.epochs,
        parameters=RoundsParameters(rounds=rounds, patience=patience),
        report=lambda *_: None,
    )


def send(
    grid: LocalGrid, kind: str, arrays: Arrays, nodes: list[int], **config: float
) -> dict[int, RecordDict]:
    content = RecordDict({"arrays": to_record(arrays), "config": ConfigRecord(config)})
    return ask(grid, kind, dict.fromkeys(nodes, content))


def rows_of(data: FederationData, grid: LocalGrid, country: str, split: str) -> Rows:
    """A country's rows, scaled by the scaler of all, without the client."""
    part = getattr(data.rows(country).client_data(0), split)
    scaler = prepared(grid, settings())
    return Rows(torch.tensor(scaler.apply(part.x)), torch.tensor(part.y))


def personal_of(grid: LocalGrid) -> dict[str, Arrays]:
    return {node.country: arrays for node, arrays in grid.export_state("personal").items()}


def assert_close(a: Arrays, b: Arrays, **tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], **tolerance)


def test_one_full_batch_step_of_fedavg_is_the_pooled_step() -> None:
    data, told = data_of(), settings()
    with LocalGrid(data, nodes_of(data)) as grid:
        parts = [rows_of(data, grid, country, "train") for country in data.countries]
        prepared(grid, told)
        federated = federate(grid, told).arrays
    model = build_model("mlp", 3, told.model, 0, 0)
    set_arrays(model, initial(told))
    pooled = Rows(torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]))
    torch.nn.functional.binary_cross_entropy_with_logits(model(pooled.x), pooled.y).backward()
    step = {
        name: (w - 0.1 * w.grad).detach().numpy()  # type: ignore[operator]
        for name, w in model.named_parameters()
    }
    assert_close(federated, step, rtol=1e-5, atol=1e-6)
    assert not np.allclose(federated["core.0.weight"], initial(told)["core.0.weight"], atol=1e-4)


def test_with_mu_large_fedprox_stays_at_the_global_weights() -> None:
    told = settings(learning_rate=1e-4, batch_size=4)
    data = data_of()
    away = []
    for strategy in (FedAvgParameters(epochs=40), FedProxParameters(epochs=40, proximal_mu=9000.0)):
        with LocalGrid(data, nodes_of(data)) as grid:
            prepared(grid, told)
            found, start = federate(grid, told, strategy).arrays, initial(told)
        away.append(max(np.abs(found[name] - start[name]).max() for name in start))
    assert away[0] > 5e-4
    assert away[1] < away[0] / 20


def test_personal_arrays_differ_and_are_trained_on_from_round_to_round() -> None:
    """Round 2 of each country, redone by hand from what its state held after round 1."""
    data, told = data_of(), settings("adaptive", batch_size=8)
    shared = [initial(told), {name: w * 0.9 for name, w in initial(told).items()}]
    with LocalGrid(data, nodes_of(data)) as grid:
        rows = {country: rows_of(data, grid, country, "train") for country in data.countries}
        prepared(grid, told)
        states = [personal_of(grid)]
        for number in (1, 2):
            config = {"server-round": number, "epochs": 2, "best-round": 0}
            replies = send(grid, "train", shared[number - 1], grid.node_ids(0), **config)
            states.append(personal_of(grid))
    for node_id, country in enumerate(data.countries, start=1):
        model = build_model("adaptive", 3, told.model, len(rows[country]), 0)
        set_arrays(model, shared[1])
        set_arrays(model, states[1][country])
        seed = derive_seed(0, country, 2)
        train_epochs(model, rows[country], rows[country], told.training, epochs=2, seed=seed)
        for name, w in model.state_dict().items():
            after = (
                states[2][country]
                if model.is_personal(name)
                else to_arrays(replies[node_id]["arrays"])
            )
            np.testing.assert_array_equal(after[name], w.numpy())
    for state in states:
        assert not np.array_equal(state["AU"]["extension.0.bias"], state["CZ"]["extension.0.bias"])
    assert len(states[0]["BE"]) == 4  # 36 training rows: two layers
    assert len(states[0]["CZ"]) == 2  # 9: one


def test_personal_arrays_are_in_no_message() -> None:
    data, told = data_of(), settings("adaptive", batch_size=8)
    with RecordingGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        secrets: set[bytes] = set()
        for _ in range(3):
            done = federate(grid, told, rounds=1)
            secrets |= {a.tobytes() for state in personal_of(grid).values() for a in state.values()}
        predict(grid, 0, to_record(done.arrays), done.best_round)
        traffic = grid.traffic
    assert len(secrets) >= 3 * 8
    shared = set(initial(told))
    kinds = {kind for _, kind, _ in traffic}
    assert kinds == {"query.scaler_sums", "query.prepare", "train", "evaluate", "query.predict"}
    allowed = {
        "down": shared | {"mean", "sd"},
        "up": shared | {"n", "sum", "sum-of-squares", "validation", "test"},
    }
    n_arrays = 0
    for direction, _, content in traffic:
        for record in content.values():
            for name, value in record.items():
                if hasattr(value, "numpy"):
                    n_arrays += 1
                    assert name in allowed[direction]
                    assert value.numpy().tobytes() not in secrets
    assert n_arrays > 100


def test_metrics_are_numbers_about_the_fit_only() -> None:
    data, told = data_of(), settings()
    with RecordingGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        federate(grid, told)
        up = [(kind, content["metrics"]) for d, kind, content in grid.traffic
              if d == "up" and "metrics" in content]  # fmt: skip
    assert {kind: set(metrics) for kind, metrics in up} == {
        "train": {"num-examples", "train-loss", "seconds"},
        "evaluate": {"num-examples", "loss-sum", "roc-auc", "seconds"},
    }


def test_validation_is_the_averaged_model_with_the_countrys_own_layers() -> None:
    data, told = data_of(), settings("adaptive", batch_size=8)
    with LocalGrid(data, nodes_of(data)) as grid:
        rows = {country: rows_of(data, grid, country, "validation") for country in data.countries}
        prepared(grid, told)
        done = federate(grid, told)
        personal = personal_of(grid)
        probabilities = predict(grid, 0, to_record(done.arrays), done.best_round)
    assert [row.country for row in done.history] == ["AU", "BE", "CZ"]
    for row in done.history:
        model = build_model("adaptive", 3, told.model, row.n_train, 0)
        set_arrays(model, done.arrays)
        set_arrays(model, personal[row.country])
        scored = score(model, rows[row.country])
        assert row.validation_loss == pytest.approx(scored.loss, rel=1e-12)
        assert (row.n_validation, row.selected, row.round) == (scored.n, True, 1)
        np.testing.assert_array_equal(
            probabilities[row.country]["validation"], predict_proba(model, rows[row.country].x)
        )


def total_losses(done: Federation) -> dict[int, float]:
    sums: dict[int, float] = {}
    for row in done.history:
        sums[row.round] = sums.get(row.round, 0.0) + row.validation_loss * row.n_validation
    return sums


def test_the_best_round_is_kept_with_its_personal_arrays() -> None:
    """Training overfits; the kept arrays are those of a run that ends at the best round."""
    data, told = data_of(), settings("adaptive", optimizer="adam", learning_rate=0.05, batch_size=4)
    strategy = FedAvgParameters(epochs=3)
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        long = federate(grid, told, strategy, rounds=40, patience=3)
        ahead = predict(grid, 0, to_record(long.arrays), long.best_round)
        selected, last = grid.export_state("selected"), grid.export_state("personal")
    losses = total_losses(long)
    assert min(losses, key=lambda number: losses[number]) == long.best_round
    assert max(losses) == long.best_round + 3 < 40
    assert {row.round for row in long.history if row.selected} == {long.best_round}
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        short = federate(grid, told, strategy, rounds=long.best_round)
        same = predict(grid, 0, to_record(short.arrays), short.best_round)
        ended = grid.export_state("personal")
    assert short.best_round == long.best_round
    for name, array in short.arrays.items():
        np.testing.assert_array_equal(long.arrays[name], array)
    for node, arrays in ended.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(selected[node][name], array)
            assert not np.array_equal(last[node][name], array)
        for split in ("validation", "test"):
            np.testing.assert_array_equal(ahead[node.country][split], same[node.country][split])


def test_a_client_that_sits_out_rounds_keeps_the_arrays_of_the_best() -> None:
    """It trains in rounds 1, 4 and 5. If 3 was best, its arrays of round 1 were in use then."""
    data, told = data_of(), settings("adaptive")
    shared = initial(told)
    with LocalGrid(data, [Node("AU", 0)]) as grid:
        prepared(grid, told)

        def train(number: int, best: int) -> Arrays:
            config = {"server-round": number, "epochs": 1, "best-round": best}
            send(grid, "train", shared, [1], **config)
            return personal_of(grid)["AU"]

        def selected(best: int) -> Arrays:
            send(grid, "query.predict", shared, [1], **{"best-round": best})
            return grid.export_state("selected")[Node("AU", 0)]

        first, fourth, fifth = train(1, 0), train(4, 3), train(5, 3)
        assert_close(selected(3), first, rtol=0)
        assert_close(selected(5), fifth, rtol=0)
        train(6, 5)
        assert_close(selected(5), fifth, rtol=0)
        assert not np.array_equal(first["extension.0.weight"], fifth["extension.0.weight"])
        assert not np.array_equal(first["extension.0.weight"], fourth["extension.0.weight"])


def test_without_any_validation_row_the_last_round_is_used() -> None:
    data = data_of()
    countries = {
        name: dataclasses.replace(
            rows, splits={0: np.where(rows.splits[0] == 1, 0, rows.splits[0])}
        )
        for name, rows in data.countries.items()
    }
    bare = dataclasses.replace(data, countries=countries, identity="no validation", _pooled=[])
    told = settings()
    with LocalGrid(bare, nodes_of(bare)) as grid:
        prepared(grid, told)
        done = federate(grid, told, rounds=3, patience=1)
        assert predict(grid, 0, to_record(done.arrays), 3)["BE"]["validation"].shape == (0,)
    assert done.best_round == 3
    assert all(np.isnan(row.validation_loss) and row.n_validation == 0 for row in done.history)


def test_a_failing_client_names_its_country_and_what_went_wrong() -> None:
    data, told = data_of(), settings(learning_rate=1e30, batch_size=4)
    with LocalGrid(data, [Node("CZ", 0)]) as grid:
        prepared(grid, told)
        with pytest.raises(ClientError, match=r"(?s)CZ \(seed 0\) failed at train:.*not finite"):
            federate(grid, told, FedAvgParameters(epochs=9), rounds=9)


def test_an_unprepared_client_says_so() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid, pytest.raises(ClientError, match="not prepared"):
        federate(grid, settings())
