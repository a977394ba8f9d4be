"""The training loop against steps worked out otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ms_pfl.errors import InputError
from ms_pfl.learning.networks import Network, build_network, get_arrays
from ms_pfl.learning.parameters import NetworkParameters, OptimizerParameters
from ms_pfl.learning.scoring import Rows, score
from ms_pfl.learning.training import (
    Fit,
    Proximal,
    TrainingDivergedError,
    fit,
    one_thread,
    resolve_device,
    train_epochs,
)


def network(dropout: float = 0.0, seed: int = 0) -> Network:
    parameters = NetworkParameters.model_validate(
        {
            "hidden_layers": 2,
            "width": 8,
            "dropout": dropout,
            "extension_width": 4,
            "extension_tiers": [{"min_rows": 0, "layers": 1}],
            "combining_activation": False,
            "combining_personal": False,
        }
    )
    return build_network("mlp", 3, parameters, 0, seed)


def training(**changes: object) -> OptimizerParameters:
    values: dict[str, object] = {
        "kind": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "batch_size": None,
        "plateau": None,
    }
    return OptimizerParameters.model_validate(values | changes)


def rows(n: int, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    y = (x[:, 0] + torch.randn(n, generator=generator) > 0).float()
    return Rows(x, y)


TRAIN, VALIDATION = rows(40, 1), rows(30, 2)
NONE = rows(0, 3)


def gradients(model: Network, data: Rows) -> dict[str, np.ndarray]:
    model.zero_grad()
    nn.functional.binary_cross_entropy_with_logits(model(data.x), data.y).backward()
    return {name: w.grad.numpy().copy() for name, w in model.named_parameters()}  # type: ignore[union-attr]


def close(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-7)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def run_fit(
    model: Network,
    settings: OptimizerParameters,
    train: Rows = TRAIN,
    validation: Rows = VALIDATION,
    **changes: object,
) -> Fit:
    values: dict[str, object] = {
        "epochs": 60,
        "patience": 5,
        "epochs_without_validation": 4,
        "start_is_candidate": False,
        "seed": 0,
    }
    return fit(model, train, validation, settings, **(values | changes))  # type: ignore[arg-type]


def test_a_full_batch_step_is_the_gradient_step_with_weight_decay() -> None:
    model = network()
    start, g = get_arrays(model), gradients(model, TRAIN)
    before = score(model, TRAIN).loss
    loss = train_epochs(
        model, TRAIN, NONE, training(weight_decay=0.3), epochs=1, seed=0, proximal=None
    )
    assert loss == pytest.approx(before, rel=1e-5)
    close(get_arrays(model), {k: start[k] - 0.1 * (g[k] + 0.3 * start[k]) for k in start})


def test_the_proximal_term_is_in_the_loss() -> None:
    """Second step: w2 = w1 - rate (g(w1) + mu (w1 - w0)); in the first the term is zero."""
    model, mu = network(), 0.7
    start, g0 = get_arrays(model), gradients(model, TRAIN)
    first = {k: start[k] - 0.1 * g0[k] for k in start}
    by_hand = network()
    by_hand.load_state_dict({k: torch.tensor(v) for k, v in first.items()})
    g1 = gradients(by_hand, TRAIN)
    train_epochs(model, TRAIN, NONE, training(), epochs=2, seed=0, proximal=Proximal(mu, start))
    close(
        get_arrays(model),
        {k: first[k] - 0.1 * (g1[k] + mu * (first[k] - start[k])) for k in start},
    )


def test_the_proximal_term_acts_on_the_arrays_it_names_only() -> None:
    plain, pulled = network(), network()
    named = {"output.bias": get_arrays(plain)["output.bias"]}
    train_epochs(plain, TRAIN, NONE, training(), epochs=2, seed=0)
    train_epochs(pulled, TRAIN, NONE, training(), epochs=2, seed=0, proximal=Proximal(5.0, named))
    a, b = get_arrays(plain), get_arrays(pulled)
    assert [name for name in a if not np.allclose(a[name], b[name], rtol=1e-6)] == ["output.bias"]


def test_one_adam_serves_the_whole_round() -> None:
    model, by_hand = network(), network()
    train_epochs(model, TRAIN, NONE, training(kind="adam", weight_decay=0.01), epochs=5, seed=0)
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(5):
        adam.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(by_hand(TRAIN.x), TRAIN.y).backward()
        adam.step()
    for name, array in get_arrays(by_hand).items():
        np.testing.assert_allclose(get_arrays(model)[name], array, rtol=1e-3, atol=1e-5)


def test_every_row_is_used_once_an_epoch() -> None:
    """With a vanishing rate the epoch's mean loss is that of all rows, also with odd batches."""
    model = network()
    loss = train_epochs(
        model, TRAIN, NONE, training(batch_size=7, learning_rate=1e-12), epochs=1, seed=0
    )
    assert loss == pytest.approx(score(model, TRAIN).loss, rel=1e-5)


def test_the_seed_alone_decides_and_nothing_global_changes() -> None:
    settings = training(kind="adam", batch_size=8)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        model = network(dropout=0.3)
        train_epochs(model, TRAIN, NONE, settings, epochs=2, seed=seed)
        results.append(get_arrays(model))
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), state)
        torch.randn(3)
        state = torch.random.get_rng_state()
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_early_stopping_restores_the_best_epoch() -> None:
    model = network()
    done = run_fit(model, training(kind="adam", learning_rate=0.05, batch_size=8))
    losses = {record.epoch: record.validation.loss for record in done.records}
    assert min(losses, key=lambda epoch: losses[epoch]) == done.best_epoch
    assert max(losses) == done.best_epoch + 5 < 60
    assert score(model, VALIDATION).loss == losses[done.best_epoch]
    assert losses[max(losses)] > losses[done.best_epoch]


def test_epoch_zero_is_a_candidate_where_it_is_asked_for() -> None:
    flipped = Rows(TRAIN.x, 1 - TRAIN.y)
    model = network()
    train_epochs(model, TRAIN, NONE, training(), epochs=30, seed=0)
    start = get_arrays(model)
    done = run_fit(model, training(), flipped, patience=3, start_is_candidate=True)
    assert done.best_epoch == 0
    assert [record.epoch for record in done.records] == [0, 1, 2, 3]
    assert same(get_arrays(model), start)


def test_without_validation_rows_the_epochs_are_fixed() -> None:
    model, by_hand = network(), network()
    settings = training(batch_size=8)
    done = run_fit(model, settings, TRAIN, NONE, seed=3)
    train_epochs(by_hand, TRAIN, NONE, settings, epochs=4, seed=3)
    assert (done.best_epoch, len(done.records)) == (4, 4)
    assert math.isnan(done.records[0].validation.loss)
    assert same(get_arrays(model), get_arrays(by_hand))


def test_no_epochs_without_validation_leave_the_model() -> None:
    model = network()
    start = get_arrays(model)
    done = run_fit(
        model, training(), TRAIN, NONE, epochs_without_validation=0, start_is_candidate=True
    )
    assert (done.best_epoch, len(done.records)) == (0, 1)
    assert same(get_arrays(model), start)


def plain_fit(
    model: Network, settings: OptimizerParameters, validation: Rows, epochs: int, seed: int
) -> list[tuple[float, float, dict[str, np.ndarray]]]:
    """Training loss, validation loss and weights after each epoch, by a loop written out here."""
    generator = torch.Generator().manual_seed(seed)
    made = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings.kind]
    optimizer = made(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    plateau, lowest, waited, epochs_done = settings.plateau, math.inf, 0, []
    for _ in range(epochs):
        total = 0.0
        for index in torch.randperm(len(TRAIN), generator=generator).split(settings.batch_size):
            loss = nn.functional.binary_cross_entropy_with_logits(
                model(TRAIN.x[index]), TRAIN.y[index]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        with torch.no_grad():
            watched = nn.functional.binary_cross_entropy_with_logits(
                model(validation.x), validation.y
            ).item()
        epochs_done.append((total / len(TRAIN), watched, get_arrays(model)))
        # torch calls an epoch better only if it is so by a ten-thousandth
        better = watched < lowest * (1 - 1e-4)
        lowest, waited = (watched, 0) if better else (lowest, waited + 1)
        if plateau is not None and waited > plateau.patience:
            group, waited = optimizer.param_groups[0], 0
            group["lr"] = max(group["lr"] * plateau.factor, plateau.min_learning_rate)
    return epochs_done


PLATEAU = {"factor": 0.3, "patience": 1, "min_learning_rate": 0.004}


@pytest.mark.parametrize("plateau", [None, PLATEAU])
@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.02), ("sgd", 0.3)])
def test_a_fit_is_a_plain_loop_with_one_optimizer(
    optimizer: str, rate: float, plateau: dict[str, float] | None
) -> None:
    """Adam's moments live on, and the rate falls by the validation loss, from epoch to epoch."""
    settings = training(
        kind=optimizer, learning_rate=rate, weight_decay=0.01, batch_size=8, plateau=plateau
    )
    model = network()
    done = run_fit(model, settings, epochs=25, patience=25, seed=5)
    with one_thread():
        expected = plain_fit(network(), settings, VALIDATION, 25, 5)
    assert len(done.records) == 25
    np.testing.assert_allclose(
        [(record.train_loss, record.validation.loss) for record in done.records],
        [(train_loss, watched) for train_loss, watched, _ in expected],
        rtol=1e-4,
    )
    assert done.best_epoch == 1 + int(np.argmin([watched for _, watched, _ in expected])) < 25
    for name, array in expected[done.best_epoch - 1][2].items():
        np.testing.assert_allclose(get_arrays(model)[name], array, rtol=1e-3, atol=1e-5)
    if plateau is not None:
        same_rate = settings.model_copy(update={"plateau": None})
        with one_thread():
            constant = plain_fit(network(), same_rate, VALIDATION, 25, 5)
        assert abs(constant[-1][1] - expected[-1][1]) > 0.01, "the schedule must matter here"


def test_the_plateau_schedule_lowers_the_rate_by_the_validation_loss() -> None:
    """Validation labels are flipped: the loss only rises, and the rate falls by 1e-6 each epoch.

    The first loss is the best so far, the second starts the fall: two full steps, no third.
    """
    against = Rows(TRAIN.x, 1 - TRAIN.y)
    plateau = {"factor": 1e-6, "patience": 0, "min_learning_rate": 0.0}
    model, two = network(), network()
    train_epochs(model, TRAIN, against, training(plateau=plateau), epochs=6, seed=0)
    train_epochs(two, TRAIN, NONE, training(), epochs=2, seed=0)
    for name, array in get_arrays(two).items():
        np.testing.assert_allclose(get_arrays(model)[name], array, atol=1e-6)


def test_one_class_trains_like_the_others() -> None:
    model = network()
    ones = Rows(TRAIN.x, torch.ones(40))
    loss = train_epochs(model, ones, NONE, training(), epochs=50, seed=0)
    assert 0 < loss < 0.3


def test_a_loss_that_is_no_number_raises() -> None:
    with pytest.raises(TrainingDivergedError, match=r"training loss of epoch \d.*learning_rate"):
        train_epochs(network(), TRAIN, NONE, training(learning_rate=1e30), epochs=5, seed=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_said() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="device: cuda"):
        resolve_device("cuda")
