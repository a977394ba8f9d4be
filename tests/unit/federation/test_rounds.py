"""Rounds through the real ClientApp and grid, against steps worked out otherwise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from federation_examples import (
    FEDAVG,
    RecordingGrid,
    data_of,
    federate,
    initial,
    nodes_of,
    prepared,
    settings,
)
from ms_pfl.errors import InputError
from ms_pfl.federation.client import PRIVATE, method_of
from ms_pfl.federation.exchange import ClientError, Node, ask
from ms_pfl.federation.fixed_point import MODEL
from ms_pfl.federation.flower import ConfigRecord, RecordDict, to_arrays, to_record
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import (
    ClientSettings,
    FedAvgParameters,
    FedProxParameters,
    StrategyParameters,
)
from ms_pfl.federation.partitions import FederationData
from ms_pfl.federation.predictions import predict
from ms_pfl.federation.rounds import Federation, RoundState
from ms_pfl.federation.strategies import draw, make_strategy
from ms_pfl.federation.sums import times_rows
from ms_pfl.learning.networks import Network, build_network, get_arrays, set_arrays
from ms_pfl.learning.scoring import Rows, logits, probabilities, score
from ms_pfl.learning.seeds import derive_seed, initial_seed
from ms_pfl.learning.training import Proximal, fit, train_epochs

Arrays = dict[str, np.ndarray]


def send(
    grid: LocalGrid, kind: str, arrays: Arrays, nodes: list[int], **config: float
) -> dict[int, RecordDict]:
    content = RecordDict({"config": ConfigRecord(config)})
    if arrays:
        content["arrays"] = to_record(arrays)
    return ask(grid, kind, dict.fromkeys(nodes, content))


def rows_of(data: FederationData, grid: LocalGrid, country: str, split: str) -> Rows:
    """A country's rows, scaled by the scaler of all, without the client."""
    part = getattr(data.rows(country).client_data(0), split)
    scaler = prepared(grid, settings())
    return Rows(torch.tensor(scaler.apply(part.x)), torch.tensor(part.y))


def personal_of(grid: LocalGrid) -> dict[str, Arrays]:
    """Each country's latest private state."""
    return {
        country: versions[max(versions)] if versions else {}
        for country, versions in versions_of(grid).items()
    }


def versions_of(grid: LocalGrid) -> dict[str, dict[int, Arrays]]:
    """Each country's private state by the round in which it was trained."""
    return {
        country: {
            int(name.removeprefix(PRIVATE)): to_arrays(record) for name, record in records.items()
        }
        for country, records in grid.private().items()
    }


def own_arrays(told: ClientSettings, model: Network) -> Arrays:
    """What of a network a method does not share."""
    arrays = get_arrays(model)
    return {name: arrays[name] for name in arrays.keys() - method_of(told).shared(arrays).keys()}


def predicted(model: Network, x: torch.Tensor) -> np.ndarray:
    return probabilities(logits(model, x))


def with_dropout(told: ClientSettings) -> ClientSettings:
    """The same with dropout, so that its random numbers count too."""
    return told.model_copy(update={"network": told.network.model_copy(update={"dropout": 0.2})})


def predict_alone(grid: LocalGrid, nodes: list[int]) -> dict[int, Arrays]:
    """The probabilities of each node's own model."""
    content = RecordDict({"config": ConfigRecord({"best-round": 0})})
    replies = ask(grid, "query.predict", dict.fromkeys(nodes, content))
    return {node_id: to_arrays(reply["arrays"]) for node_id, reply in replies.items()}


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
    model = build_network("mlp", 3, told.network, 0, 0)
    set_arrays(model, initial(told))
    pooled = Rows(torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]))
    torch.nn.functional.binary_cross_entropy_with_logits(model(pooled.x), pooled.y).backward()
    step = {
        name: (w - 0.1 * w.grad).detach().numpy()  # type: ignore[operator]
        for name, w in model.named_parameters()
    }
    assert_close(federated, step, rtol=1e-5, atol=1e-6)
    assert not np.allclose(federated["core.0.weight"], initial(told)["core.0.weight"], atol=1e-4)


@pytest.mark.parametrize(("optimizer", "mu"), [("sgd", 9000.0), ("adam", 1e6)])
def test_with_mu_large_fedprox_stays_at_the_global_weights(optimizer: str, mu: float) -> None:
    """Plain SGD allows for rate x mu < 2 only; Adam scales its step and allows for any mu."""
    told = settings(kind=optimizer, learning_rate=1e-4, batch_size=4)
    data = data_of()
    away = []
    for strategy in (FedAvgParameters(epochs=40), FedProxParameters(epochs=40, proximal_mu=mu)):
        with LocalGrid(data, nodes_of(data)) as grid:
            prepared(grid, told)
            found, start = federate(grid, told, strategy).arrays, initial(told)
        away.append(max(np.abs(found[name] - start[name]).max() for name in start))
    assert away[0] > 5e-4
    assert away[1] < away[0] / 20


@pytest.mark.parametrize("strategy", [FEDAVG, FedProxParameters(epochs=1, proximal_mu=2.0)])
def test_each_round_of_a_country_is_its_own_training(strategy: StrategyParameters) -> None:
    """Rounds 1 and 2, redone by hand from the personal arrays that the state held before them.

    FedProx pulls the shared arrays alone. The rate falls by the validation rows.
    """
    plateau = {"factor": 0.1, "patience": 0, "min_learning_rate": 0.0}
    told = with_dropout(settings("adaptive", learning_rate=0.5, batch_size=8, plateau=plateau))
    data, epochs = data_of(), 4
    shared = [initial(told), {name: w * 0.9 for name, w in initial(told).items()}]
    with LocalGrid(data, nodes_of(data)) as grid:
        rows = {
            country: [rows_of(data, grid, country, split) for split in ("train", "validation")]
            for country in data.countries
        }
        prepared(grid, told)
        states, replies = [personal_of(grid)], []
        for number, arrays in enumerate(shared, start=1):
            config = ConfigRecord({"epochs": epochs, "best-round": 0, "sites": 3})
            sent = make_strategy(strategy).configure_train(number, to_record(arrays), config, grid)
            replies.append([reply.content for reply in grid.send_and_receive(sent)])
            states.append(personal_of(grid))
    mu = strategy.proximal_mu if isinstance(strategy, FedProxParameters) else 0.0
    for number, arrays in enumerate(shared, start=1):
        pull = Proximal(mu, arrays) if mu else None
        for country, reply in zip(data.countries, replies[number - 1], strict=True):
            model = build_network("adaptive", 3, told.network, len(rows[country][0]), 0)
            set_arrays(model, arrays)
            set_arrays(model, states[number - 1][country])
            seed = derive_seed(0, country, number)
            loss = train_epochs(
                model, *rows[country], told.optimizer, epochs=epochs, seed=seed, proximal=pull
            )
            assert reply["metrics"]["train-loss"] == loss
            trained = method_of(told).shared(get_arrays(model))
            expected = times_rows(trained, len(rows[country][0]), sites=3)
            assert_close(to_arrays(reply["arrays"]), expected, rtol=0)
            assert_close(states[number][country], own_arrays(told, model), rtol=0)


def test_personal_arrays_start_different_in_each_country() -> None:
    data, told = data_of(), settings("adaptive")
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        state = personal_of(grid)
    assert not np.array_equal(state["AU"]["extension.0.bias"], state["CZ"]["extension.0.bias"])
    assert len(state["BE"]) == 4  # 36 training rows: two layers
    assert len(state["CZ"]) == 2  # 9: one
    for country, n in (("BE", 36), ("CZ", 9)):
        seed = derive_seed(0, country, "initial")
        model = build_network("adaptive", 3, told.network, n, seed)
        assert_close(state[country], own_arrays(told, model), rtol=0)


@pytest.mark.parametrize("start_is_candidate", [False, True])
def test_personalize_is_a_fit_on_training_rows_chosen_by_validation_rows(
    start_is_candidate: bool,
) -> None:
    """Two countries, redone by hand: the same bits, from given arrays and from the initial ones."""
    told = with_dropout(settings(kind="adam", learning_rate=0.02, batch_size=8))
    given = {name: w * 0.9 for name, w in initial(told).items()} if start_is_candidate else {}
    wanted = {"epochs": 30, "patience": 4, "epochs_without_validation": 2}
    config = {name.replace("_", "-"): n for name, n in wanted.items()}
    flags = {"start-is-candidate": start_is_candidate, "reply-with-arrays": True}
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        rows = {
            country: [rows_of(data, grid, country, split) for split in ("train", "validation")]
            for country in ("AU", "BE")
        }
        prepared(grid, told)
        replies = send(grid, "train.personalize", given, [1, 2], **config, **flags)
        found = predict_alone(grid, [1, 2])
    for (country, (train, validation)), node_id in zip(rows.items(), (1, 2), strict=True):
        model = build_network("mlp", 3, told.network, len(train), initial_seed(0))
        set_arrays(model, given)
        seed = derive_seed(0, country, "personalize")
        done = fit(
            model, train, validation, told.optimizer,
            **wanted, start_is_candidate=start_is_candidate, seed=seed,
        )  # fmt: skip
        reply = replies[node_id]
        assert_close(to_arrays(reply["arrays"]), get_arrays(model), rtol=0)
        np.testing.assert_array_equal(found[node_id]["validation"], predicted(model, validation.x))
        metrics = reply["metrics"]
        assert (metrics["num-examples"], metrics["num-validation"]) == (len(train), len(validation))
        assert metrics["best-epoch"] == done.best_epoch
        assert done.best_epoch < done.records[-1].epoch, "the choice must matter here"
        assert metrics["epoch"] == [record.epoch for record in done.records]
        assert metrics["train-loss"] == [record.train_loss for record in done.records]
        assert metrics["validation-loss"] == [record.validation.loss for record in done.records]
        assert metrics["roc-auc"] == [record.validation.roc_auc for record in done.records]


def test_personal_arrays_are_in_no_message() -> None:
    data, told = data_of(), settings("adaptive", batch_size=8)
    with RecordingGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        secrets: set[bytes] = set()
        for rounds in (1, 2, 3):
            done = federate(grid, told, rounds=rounds)
            secrets |= {a.tobytes() for state in personal_of(grid).values() for a in state.values()}
        predict(grid, 0, to_record(done.arrays), done.best_round, "")
        traffic = grid.traffic
    assert len(secrets) >= 3 * 8
    shared = set(initial(told))
    kinds = {kind for _, kind, _ in traffic}
    assert kinds == {"query.sums", "query.prepare", "train", "evaluate", "query.predict"}
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
    scores = {"num-validation", "loss-sum", "roc-auc", "seconds"}
    assert {kind: set(metrics) for kind, metrics in up} == {
        "train": {"num-examples", "train-loss"} | scores,
        "evaluate": scores,
    }


def test_validation_is_the_averaged_model_with_the_countrys_own_layers() -> None:
    data, told = data_of(), settings("adaptive", batch_size=8)
    with LocalGrid(data, nodes_of(data)) as grid:
        rows = {country: rows_of(data, grid, country, "validation") for country in data.countries}
        prepared(grid, told)
        done = federate(grid, told)
        personal = personal_of(grid)
        found = predict(grid, 0, to_record(done.arrays), done.best_round, "").probabilities
    assert [row.country for row in done.history] == ["AU", "BE", "CZ"]
    for row in done.history:
        model = build_network("adaptive", 3, told.network, row.n_train, 0)
        set_arrays(model, done.arrays)
        set_arrays(model, personal[row.country])
        scored = score(model, rows[row.country])
        assert row.validation_loss == pytest.approx(scored.loss, rel=1e-12)
        assert (row.n_validation, row.selected, row.round) == (scored.n, True, 1)
        np.testing.assert_array_equal(
            found[row.country]["validation"], predicted(model, rows[row.country].x)
        )


def total_losses(done: Federation) -> dict[int, float]:
    sums: dict[int, float] = {}
    for row in done.history:
        sums[row.round] = sums.get(row.round, 0.0) + row.validation_loss * row.n_validation
    return sums


def test_the_best_round_is_kept_with_its_personal_arrays() -> None:
    """Training overfits; the kept arrays are those of a run that ends at the best round."""
    data, told = data_of(), settings("adaptive", kind="adam", learning_rate=0.05, batch_size=4)
    strategy = FedAvgParameters(epochs=3)
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        long = federate(grid, told, strategy, rounds=40, patience=3)
        ahead = predict(grid, 0, to_record(long.arrays), long.best_round, "").probabilities
        selected, last = grid.export_state("selected"), personal_of(grid)
    losses = total_losses(long)
    assert min(losses, key=lambda number: losses[number]) == long.best_round
    assert max(losses) == long.best_round + 4 < 40, "one more was trained before 3 were known"
    assert {row.round for row in long.history if row.selected} == {long.best_round}
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        short = federate(grid, told, strategy, rounds=long.best_round)
        same = predict(grid, 0, to_record(short.arrays), short.best_round, "").probabilities
        ended = personal_of(grid)
    assert short.best_round == long.best_round
    for name, array in short.arrays.items():
        np.testing.assert_array_equal(long.arrays[name], array)
    for node, arrays in selected.items():
        assert_close(arrays, ended[node.country], rtol=0)
        for name, array in arrays.items():
            assert not np.array_equal(last[node.country][name], array)
        for split in ("validation", "test"):
            np.testing.assert_array_equal(ahead[node.country][split], same[node.country][split])


def test_a_round_is_scored_by_the_replies_of_the_next() -> None:
    """Traffic: a message per client and round, and one evaluation after the last.

    The history has the validation of the model that a round came to, with the layers of then.
    """
    data, told = data_of(), settings("adaptive", batch_size=8)
    with RecordingGrid(data, nodes_of(data)) as grid:
        rows = {country: rows_of(data, grid, country, "validation") for country in data.countries}
        prepared(grid, told)
        grid.traffic.clear()
        done = federate(grid, told, rounds=3)
        down = [(kind, content) for direction, kind, content in grid.traffic if direction == "down"]
        up = [content for direction, _, content in grid.traffic if direction == "up"]
        versions = versions_of(grid)
    assert [kind for kind, _ in down] == ["train"] * 9 + ["evaluate"] * 3
    for number in (1, 2, 3):
        sent = down[3 * number][1]["arrays"]  # what round `number` came to goes out after it
        arrays = {name: array.numpy() for name, array in sent.items()}
        for place, (country, row) in enumerate(
            zip(data.countries, done.history[3 * number - 3 : 3 * number], strict=True)
        ):
            assert (row.country, row.round) == (country, number)
            metrics = up[3 * number + place]["metrics"]
            assert row.validation_loss == metrics["loss-sum"] / metrics["num-validation"]
            own = versions[country]
            if number in own:
                model = build_network("adaptive", 3, told.network, row.n_train, 0)
                set_arrays(model, arrays)
                set_arrays(model, own[number])
                scored = score(model, rows[country])
                assert metrics["loss-sum"] == pytest.approx(scored.loss_sum, rel=1e-12)
                assert row.validation_roc_auc == pytest.approx(scored.roc_auc, nan_ok=True)
    assert all(number in own for own in versions.values() for number in (2, 3))


def test_bytes_are_those_of_the_arrays_on_their_way() -> None:
    """Weights and biases of 3 x 6 and 6 x 1, with numpy's header: float32 down, 64 bits up.

    The last round carries the evaluation that follows it, too.
    """
    data, told = data_of(), settings()
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        done = federate(grid, told, rounds=2)
    up, down = ((3 * 6 + 6 + 6 + 1) * width + 4 * 128 for width in (8, 4))
    assert [(row.bytes_up, row.bytes_down) for row in done.history] == [(up, down)] * 3 + [
        (up, 2 * down)
    ] * 3


def test_a_client_that_is_not_drawn_is_scored_and_keeps_its_arrays() -> None:
    """Of three, two train in a round; the third gets the model to score it."""
    data, told = data_of(), settings("adaptive", batch_size=8)
    names = dict(enumerate((str(Node(country, 0)) for country in data.countries), start=1))
    rows = dict(enumerate((18, 36, 9), start=1))
    drawn = {number: draw(names, 0.7, 5, number) for number in range(1, 6)}
    assert {len(nodes) for nodes in drawn.values()} == {2}
    assert len({frozenset(nodes) for nodes in drawn.values()}) > 1
    with RecordingGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        grid.traffic.clear()
        states: list[RoundState] = []
        done = federate(grid, told, rounds=5, fraction=0.7, draws=5, keep=states.append)
        kinds = [kind for direction, kind, _ in grid.traffic if direction == "down"]
        replies = [content for direction, _, content in grid.traffic if direction == "up"]
        last = {
            node_id: max(versions_of(grid)[node.country]) for node_id, node in grid.nodes.items()
        }
    assert kinds == [
        "train" if node_id in drawn.get(number, ()) else "evaluate"
        for number in range(1, 7)
        for node_id in (1, 2, 3)
    ]
    for node_id in (1, 2, 3):
        assert last[node_id] == max(number for number in drawn if node_id in drawn[number])
    for number, nodes in drawn.items():
        round_rows = done.history[3 * number - 3 : 3 * number]
        for node_id, row in enumerate(round_rows, start=1):
            assert row.n_train == (rows[node_id] if node_id in nodes else 0)
            assert np.isfinite(row.train_loss) == (row.bytes_up > 0) == (node_id in nodes)
            assert np.isfinite(row.validation_loss)
        sent = {
            node_id: to_arrays(replies[3 * number - 4 + node_id]["arrays"]) for node_id in nodes
        }
        total = sum(rows[node_id] for node_id in nodes)
        for name, array in to_arrays(states[number - 1].arrays).items():
            mean = sum(MODEL.decode(arrays[name]) for arrays in sent.values()) / total
            np.testing.assert_allclose(array, mean, rtol=1e-5, atol=1e-7)


def test_a_client_that_sits_out_rounds_keeps_the_arrays_of_the_best() -> None:
    """It trains in rounds 1, 4 and 5. If 3 was best, its arrays of round 1 were in use then."""
    data, told = data_of(), settings("adaptive")
    shared = initial(told)
    with LocalGrid(data, [Node("AU", 0)]) as grid:
        prepared(grid, told)

        def train(number: int, best: int) -> Arrays:
            config = {"server-round": number, "epochs": 1, "best-round": best, "sites": 1}
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
    bare = dataclasses.replace(data, countries=countries, identity="no validation")
    told = settings()
    with LocalGrid(bare, nodes_of(bare)) as grid:
        prepared(grid, told)
        done = federate(grid, told, rounds=3, patience=1)
        found = predict(grid, 0, to_record(done.arrays), 3, "").probabilities
        assert found["BE"]["validation"].shape == (0,)
    assert done.best_round == 3
    assert all(np.isnan(row.validation_loss) and row.n_validation == 0 for row in done.history)


def test_a_failing_client_names_its_country_and_what_went_wrong() -> None:
    data, told = data_of(), settings(learning_rate=1e30, batch_size=4)
    with LocalGrid(data, [Node("CZ", 0)]) as grid:
        prepared(grid, told)
        told_so = r"^CZ \(seed 0\): round 1: .* is not finite \(learning rate 1e\+30\): a lower .*$"
        with pytest.raises(InputError, match=told_so):
            federate(grid, told, FedAvgParameters(epochs=9), rounds=9)


def test_an_unprepared_client_says_so() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid, pytest.raises(ClientError, match="not prepared"):
        federate(grid, settings())
