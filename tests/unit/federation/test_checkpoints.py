"""A federation that is cut off and goes on: the same bits; damaged files; what is left behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from federation_examples import (
    STRATEGIES,
    data_of,
    federate,
    initial,
    nodes_of,
    prepared,
    settings,
)
from ms_pfl.federation.checkpoints import (
    Checkpoints,
    DamagedFileError,
    private_alike,
    read_arrays,
    write_arrays,
)
from ms_pfl.federation.client import method_of
from ms_pfl.federation.flower import to_arrays, to_record
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import (
    ClientSettings,
    FedAvgParameters,
    StrategiesParameters,
    StrategyParameters,
)
from ms_pfl.federation.rounds import Federation, RoundState, begins

ROUNDS = 6


class Cut(Exception):
    """Stands for whatever ends a process."""


TWO_EPOCHS = FedAvgParameters(epochs=2)
TOLD = settings("adaptive", kind="adam", learning_rate=0.05, batch_size=8)


def run(
    resume: RoundState | None = None,
    keep: Callable[[RoundState], None] = lambda _: None,
    strategy: StrategyParameters = TWO_EPOCHS,
    fraction: float = 1.0,
    told: ClientSettings = TOLD,
) -> Federation:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        return federate(
            grid, told, strategy, rounds=ROUNDS, patience=4, fraction=fraction,
            resume=resume, keep=keep,
        )  # fmt: skip


def same(a: Federation, b: Federation) -> bool:
    rows = [[replace(row, seconds=0.0) for row in done.history] for done in (a, b)]
    return (
        repr(rows[0]) == repr(rows[1])
        and a.best_round == b.best_round
        and list(a.arrays) == list(b.arrays)
        and all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
    )


@pytest.fixture(scope="module")
def whole() -> Federation:
    return run()


@pytest.mark.parametrize("cut_after", range(1, ROUNDS + 1))
def test_a_federation_goes_on_from_any_round_with_the_same_bits(
    whole: Federation, cut_after: int, tmp_path: Path
) -> None:
    def keep(state: RoundState) -> None:
        checkpoints.keep(state)
        if state.round == cut_after:
            raise Cut

    checkpoints = Checkpoints(tmp_path, "seed=0", every_rounds=1)
    with pytest.raises(Cut):
        run(keep=keep)
    resume = Checkpoints(tmp_path, "seed=0", every_rounds=1).latest()
    assert resume is not None
    assert resume.round == cut_after
    assert same(run(resume), whole)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi", "fedadagrad"])
def test_moments_and_arrays_of_who_sits_out_survive_cut_after_cut(
    name: str, tmp_path: Path
) -> None:
    """Cut after each round in turn, in one chain; two of three train in a round."""
    strategy = StrategiesParameters.model_validate(STRATEGIES).of(name)
    checkpoints = Checkpoints(tmp_path, "seed=0", every_rounds=1)
    expected: list[RoundState] = []
    whole = run(keep=expected.append, strategy=strategy, fraction=0.7)

    def keep(state: RoundState) -> None:
        checkpoints.keep(state)
        raise Cut

    for uncut in expected:
        with pytest.raises(Cut):
            run(checkpoints.latest(), keep, strategy, fraction=0.7)
        state = checkpoints.latest()
        assert state is not None
        assert state.round == uncut.round
        for country, records in uncut.private.items():
            assert list(state.private[country]) == list(records), "the same versions"
            for name, record in records.items():
                found, own = to_arrays(state.private[country][name]), to_arrays(record)
                assert list(found) == list(own)
                assert all(np.array_equal(found[key], own[key]) for key in own)
    assert same(run(checkpoints.latest(), strategy=strategy, fraction=0.7), whole)


@pytest.mark.parametrize("error", [Cut, KeyboardInterrupt])
def test_an_error_writes_the_last_round_and_the_end_of_a_fit_does_not(
    error: type[BaseException], tmp_path: Path
) -> None:
    def cut(state: RoundState) -> None:
        checkpoints.keep(state)
        if state.round == 4:
            raise error

    with pytest.raises(error), Checkpoints(tmp_path / "a", "seed=0", every_rounds=3) as checkpoints:
        run(keep=cut)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"seed=0.round=00000{n}.safetensors" for n in (3, 4)]
    with Checkpoints(tmp_path / "b", "seed=0", every_rounds=4) as checkpoints:
        run(keep=checkpoints.keep)
    assert [path.name for path in (tmp_path / "b").iterdir()] == [names[1]]


def test_the_last_two_are_kept_and_a_damaged_one_is_refused(
    whole: Federation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, "seed=0", every_rounds=1)
    run(keep=checkpoints.keep)
    first, second = sorted(tmp_path.iterdir())
    assert (first.name[:-12], second.name[:-12]) == ("seed=0.round=000005", "seed=0.round=000006")
    second.write_bytes(second.read_bytes()[:-100])
    resume = checkpoints.latest()
    assert resume is not None
    assert resume.round == 5
    assert f"A checkpoint is damaged; the one before it is used. {second}" in caplog.text
    assert same(run(resume), whole)
    first.write_bytes(b"")
    assert checkpoints.latest() is None
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path, arrays = tmp_path / "a.safetensors", {"w": np.arange(4, dtype=np.float32)}
    write_arrays(path, arrays, {"loss": math.inf, "auc": math.nan})
    found, told = read_arrays(path)
    np.testing.assert_array_equal(found["w"], arrays["w"])
    assert (told["loss"], math.isnan(told["auc"])) == (math.inf, True)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedFileError, match="does not match its digest"):
        read_arrays(path)
    save_file(load_file(path), path)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_arrays(path)


@pytest.mark.parametrize(("dtype", "shape"), [(np.int32, (4,)), (np.float32, (2, 2))])
def test_the_same_bytes_in_another_type_or_shape_are_noticed(
    dtype: type, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path, w = tmp_path / "a.safetensors", np.arange(4, dtype=np.float32)
    write_arrays(path, {"w": w}, None)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file({"w": w.view(dtype).reshape(shape)}, path, metadata=metadata)
    with pytest.raises(DamagedFileError, match="does not match its digest"):
        read_arrays(path)


def test_seed_1_knows_nothing_of_seed_10(tmp_path: Path) -> None:
    states: list[RoundState] = []
    run(keep=states.append)
    first, tenth = (Checkpoints(tmp_path, f"seed={seed}", every_rounds=1) for seed in (1, 10))
    tenth.keep(states[0])
    assert first.latest() is None
    first.remove()
    assert tenth.latest() is not None


def test_a_file_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"w": np.zeros(2)}, 1)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_arrays(path, {"w": np.ones(2)}, 2)
    assert read_arrays(path)[1] == 1


def test_all_of_a_state_comes_back(tmp_path: Path) -> None:
    states: list[RoundState] = []
    run(keep=states.append, told=settings("scaffold", {"learning_rate": 0.05}))
    moments = {"m_t": {"b": np.array([0.1, 0.2]), "a": np.array([[1.0]], np.float32)}}
    state = replace(states[-1], moments=moments)
    checkpoints = Checkpoints(tmp_path, "seed=0", every_rounds=ROUNDS)
    checkpoints.keep(state)
    found = checkpoints.latest()
    assert found is not None
    assert repr(found.trained) == repr(state.trained)
    assert repr(found.history) == repr(state.history)
    assert list(found.further) == ["control"]
    assert {country: list(records) for country, records in found.private.items()} == {
        country: list(records) for country, records in state.private.items()
    }
    assert found.private.keys() == {"AU", "BE", "CZ"}
    assert list(found.moments["m_t"]) == ["b", "a"]
    assert found.moments["m_t"]["a"].dtype == np.float32
    np.testing.assert_array_equal(found.moments["m_t"]["b"], moments["m_t"]["b"])
    for name in ("round", "best_round", "best_value", "best_roc_auc", "roc_auc"):
        assert getattr(found, name) == getattr(state, name)
    for a, b in [
        (found.arrays, state.arrays),
        (found.best_arrays, state.best_arrays),
        *((found.further[name], held) for name, held in state.further.items()),
        *(
            (found.private[country][name], kept)
            for country, records in state.private.items()
            for name, kept in records.items()
        ),
    ]:
        assert list(a) == list(b)
        assert all(np.array_equal(x, y) for x, y in zip(
            to_arrays(a).values(), to_arrays(b).values(), strict=True))  # fmt: skip
    assert Checkpoints(None, "seed=0", every_rounds=1).latest() is None


# -- right digest, wrong content -------------------------------------------------------------------

NAME = "core.0.weight"
Content = tuple[dict[str, np.ndarray], dict[str, Any]]


def told_of(name: str, value: object) -> Callable[[Content], None]:
    """Replace what a file tells; None: remove it."""

    def change(content: Content) -> None:
        if value is None:
            del content[1][name]
        else:
            content[1][name] = value

    return change


def array_of(name: str, change: Callable[[np.ndarray], np.ndarray] | None) -> Callable[..., None]:
    """Replace an array of a file; None: remove it."""

    def other(content: Content) -> None:
        if change is None:
            del content[0][name]
        else:
            content[0][name] = change(content[0].get(name, np.zeros(3, np.float32)))

    return other


@pytest.mark.parametrize(
    "change",
    [
        told_of("round", "five"),
        told_of("round", 0),
        told_of("round", None),
        told_of("best_round", 7),
        told_of("more", 1),
        told_of("history", [{"seed": 0}]),
        told_of("history", 3),
        told_of("trained", [[1]]),
        told_of("private", [["AU", ["../x"]]]),
        told_of("private", {"AU": 1}),
        told_of("further", ["control"]),
        told_of("moments", ["w_t"]),
        told_of("moments", ["m_t"]),
        array_of(f"arrays/{NAME}", None),
        array_of(f"arrays/{NAME}", lambda w: w.T.copy()),
        array_of(f"arrays/{NAME}", lambda w: w[:1]),
        array_of(f"arrays/{NAME}", lambda w: w.astype(np.float64)),
        array_of(f"arrays/{NAME}", lambda w: w * np.nan),
        array_of(f"best/{NAME}", lambda w: w * np.inf),
        array_of("arrays/more", lambda w: w),
        array_of("best/more", lambda w: w),
    ],
)
def test_a_checkpoint_of_other_content_is_refused_whatever_its_digest(
    change: Callable[[Content], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, "seed=0", every_rounds=1)
    run(keep=checkpoints.keep)
    _, last = sorted(tmp_path.iterdir())
    content = read_arrays(last)
    begin = begins(method_of(TOLD), initial(TOLD), {})
    assert checkpoints.latest(begin).round == 6  # type: ignore[union-attr]
    change(content)
    write_arrays(last, *content)
    found = checkpoints.latest(begin)
    assert found is not None
    assert found.round == 5
    (line,) = caplog.messages
    assert line.startswith(f"A checkpoint is damaged; the one before it is used. {last}")
    assert line.isprintable()


def test_private_state_of_other_clients_names_or_shapes_is_noticed() -> None:
    own = {"AU": {"private/0": to_record({"w": np.zeros(2)})}}
    for found, alike in (
        ({"w": np.ones(2)}, True),
        ({"w": np.ones(1)}, False),
        ({"w": np.full(2, np.nan)}, False),
        ({"w": np.ones(2, np.float32)}, False),
        ({"v": np.ones(2)}, False),
        ({}, False),
    ):
        assert private_alike({"AU": {"private/3": to_record(found)}}, own) is alike
    assert not private_alike({"BE": own["AU"]}, own)
    assert not private_alike({"AU": {}}, own)
    assert private_alike({"AU": {}}, {"AU": {}})
