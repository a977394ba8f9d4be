"""Floors in patients, and sets of patients that are nearly the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.deployment.floors import Floors, KnownSets
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.learning.scaler import ScalerSums

SECRET = b"s" * 32


def tables(
    n: tuple[int, int, int] = (30, 12, 12), rows: int = 3, seeds: tuple[int, ...] = (0,)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Episodes of so many patients in training, validation and test; half have the outcome."""
    random = np.random.default_rng(5)
    people = [f"p{i:03d}" for i in range(sum(n))]
    episodes = pd.DataFrame(
        [(f"{p}.{j}", p, "AU", i % 2) for i, p in enumerate(people) for j in range(rows)],
        columns=["episode_id", "patient_id", "country", "label"],
    )
    episodes["t0"] = pd.Timestamp("2020-01-01")
    for name in ("age", "edss", "days"):
        episodes[name] = random.normal(size=len(episodes)).astype(np.float32)
    episodes["rare"] = np.float32(1)
    episodes["flag"] = (np.arange(len(episodes)) % 2).astype(np.float32)
    names = np.repeat(["train", "validation", "test"], n)
    splits = pd.concat(
        pd.DataFrame({
            "patient_id": np.roll(people, 20 * k), "country": "AU", "seed": seed, "split": names,
        })
        for k, seed in enumerate(seeds)
    )  # fmt: skip
    return episodes, splits


def data(*args: Any, **named: Any) -> FederationData:
    return federation_data(*tables(*args, **named))


@pytest.mark.parametrize("n", [(9, 12, 12), (30, 9, 12), (30, 12, 9), (30, 1, 1), (30, 12, 0)])
def test_every_split_has_enough_patients(n: tuple[int, int, int]) -> None:
    Floors(data(), "AU", 10).check_splits()
    with pytest.raises(RefusalError) as refused:
        Floors(data(n, rows=20), "AU", 10).check_splits()
    assert str(refused.value) == "AU takes no part: too few patients", "no number is told"


def test_a_split_of_one_seed_counts_too() -> None:
    episodes, splits = tables(seeds=(0, 1))
    validation = splits[(splits["seed"] == 1) & (splits["split"] == "validation")].index[2:]
    moved = splits.reset_index(drop=True)
    moved.loc[
        (moved["seed"] == 1) & moved["patient_id"].isin(splits.loc[validation, "patient_id"])
        & (moved["split"] == "validation"), "split",
    ] = "train"  # fmt: skip
    few = moved[(moved["seed"] == 1) & (moved["split"] == "validation")]
    assert len(few) < 10
    with pytest.raises(RefusalError, match=r"too few patients$"):
        Floors(federation_data(episodes, moved), "AU", 10).check_splits()


@pytest.mark.parametrize("known", [0, 1, 9, 10, 30])
def test_a_feature_of_few_patients_is_not_known_here(known: int) -> None:
    """In patients: rows with a value are many."""
    episodes, splits = tables(rows=20)
    train = splits.loc[splits["split"] == "train", "patient_id"]
    episodes.loc[~episodes["patient_id"].isin(train[:known]), "rare"] = np.nan
    own = federation_data(episodes, splits)
    rows = own.countries["AU"].client_data(0)
    told = Floors(own, "AU", 10).without_rare_features(rows)
    place = own.features.index("rare")
    sums = ScalerSums.of(told.train.x)
    assert sums.n[place] == (known * 20 if known >= 10 else 0)
    assert (sums.total[place], sums.squares[place]) == (sums.n[place], sums.n[place])
    others = [i for i in range(len(own.features)) if i != place]
    np.testing.assert_array_equal(told.train.x[:, others], rows.train.x[:, others])
    if known >= 10:
        assert told is rows, "an honest run keeps its bits"
    for split in (told.validation, told.test):
        assert np.isnan(split.x[:, place]).all()


@pytest.mark.parametrize("differing", [0, 1, 9, 10])
def test_a_feature_is_not_told_of_nearly_the_same_patients_in_another_seed(differing: int) -> None:
    """Their sums are over ten patients or more, and the difference of them over fewer."""
    episodes, splits = tables((40, 20, 20), seeds=(0, 1, 2))
    train = {
        seed: set(splits.loc[(splits["seed"] == seed) & (splits["split"] == "train"), "patient_id"])
        for seed in (0, 1, 2)
    }
    both = sorted(train[0] & train[1])[:12]
    have = {*both, *sorted(train[1] - train[0])[:differing]}
    episodes.loc[~episodes["patient_id"].isin(have), "rare"] = np.nan
    own = federation_data(episodes, splits)
    floors, place = Floors(own, "AU", 10), own.features.index("rare")
    n = [
        ScalerSums.of(
            floors.without_rare_features(own.countries["AU"].client_data(seed)).train.x
        ).n[place]
        for seed in (0, 1, 2)
    ]
    assert n[0] == 12 * 3
    assert n[1] == (0 if differing in (1, 9) else (12 + differing) * 3)
    third = have & train[2]
    apart = [len(third ^ (have & train[seed])) for seed in (0, 1) if n[seed]]
    assert n[2] == (3 * len(third) if len(third) >= 10 and min(apart) >= 10 else 0)


def test_classes_of_few_patients_are_not_told() -> None:
    episodes, splits = tables((30, 12, 20))
    floors = Floors(federation_data(episodes, splits), "AU", 10)
    assert not floors.classes_are_told(0, "validation"), "six have the outcome"
    assert floors.classes_are_told(0, "test")
    patients = splits.loc[splits["split"] == "test", "patient_id"]
    episodes.loc[episodes["patient_id"].isin(patients[:11]), "label"] = 1
    floors = Floors(federation_data(episodes, splits), "AU", 10)
    assert not floors.classes_are_told(0, "test"), "fewer than ten lack it"


def test_cells_of_indicators() -> None:
    episodes, splits = tables()
    Floors(federation_data(episodes, splits), "AU", 10).check_cells()
    for few in (1, 9):
        episodes["flag"] = (
            episodes["patient_id"]
            .isin(splits.loc[splits["split"] == "train", "patient_id"][:few])
            .astype(np.float32)
        )
        for flag in (episodes["flag"], 1 - episodes["flag"]):
            own = federation_data(episodes.assign(flag=flag), splits)
            with pytest.raises(RefusalError, match=r"too few patients in a cell") as refused:
                Floors(own, "AU", 10).check_cells()
            assert not any(letter.isdigit() for letter in str(refused.value))
    Floors(federation_data(episodes.assign(flag=0.0), splits), "AU", 10).check_cells()


@pytest.mark.parametrize("few", [1, 9])
def test_cells_of_the_outcome_and_of_two_indicators(few: int) -> None:
    """Newton's first gradient is a sum over those with the outcome; its Hessian counts pairs."""
    episodes, splits = tables((60, 40, 40))
    patients = splits.loc[splits["split"] == "train", "patient_id"]
    place = episodes["patient_id"].map({name: i for i, name in enumerate(patients)}).fillna(-1)
    worsened = episodes.assign(label=place.between(0, few - 1).astype(int))
    flags = (place % 2 == 0) | place.between(0, 2 * few - 1)
    with_flag = episodes.assign(flag=flags.astype(np.float32))
    pair = episodes.assign(
        rare=(place < 30).astype(np.float32), flag=(place >= 30 - few).astype(np.float32)
    )
    for given_ in (worsened, with_flag, pair):
        with pytest.raises(RefusalError, match=r"too few patients in a cell"):
            Floors(federation_data(given_, splits), "AU", 10).check_cells()
    enough = episodes.assign(
        rare=(place < 30).astype(np.float32), flag=(place >= 20).astype(np.float32)
    )
    Floors(federation_data(enough, splits), "AU", 10).check_cells()


def test_weights_of_few_patients() -> None:
    floors = Floors(data(rows=4), "AU", 10)  # 30 to train
    floors.check_weights(0, np.ones(120))
    for patients, rest in ((1, 1e-9), (9, 1e-3), (0, 0.0)):
        weights = np.full(120, rest)
        weights[: 4 * patients] = 0.25
        with pytest.raises(RefusalError, match="too few patients weigh in such a sum"):
            floors.check_weights(0, weights)
    weights[:40] = 0.25
    floors.check_weights(0, weights)


def known(folder: Path, name: str, own: FederationData, floor: int = 10) -> None:
    KnownSets(folder).check(name, own, "AU", SECRET, floor)


def test_the_same_set_again_is_no_difference(tmp_path: Path) -> None:
    own = data(seeds=(0, 1))
    for name in ("first", "first", "again"):
        known(tmp_path, name, own)
    for path in (tmp_path / "sets").iterdir():
        assert path.stat().st_mode & 0o077 == 0


@given(st.integers(1, 29), st.sampled_from(["train", "validation", "test"]), st.data())
@settings(max_examples=examples(30), deadline=None)
def test_sets_that_differ_by_few_patients(
    tmp_path_factory: pytest.TempPathFactory, few: int, split: str, draw: st.DataObject
) -> None:
    """By membership, by one value of one of a patient's rows, or by a label."""
    folder = tmp_path_factory.mktemp("sets")
    episodes, splits = tables((60, 40, 40))
    known(folder, "first", federation_data(episodes, splits))
    patients = splits.loc[splits["split"] == split, "patient_id"].to_list()[:few]
    chosen = episodes["patient_id"].isin(patients)
    how = draw.draw(st.sampled_from(["gone", "age", "label", "one row"]))
    if how == "gone":
        other = federation_data(episodes[~chosen], splits[~splits["patient_id"].isin(patients)])
    elif how == "one row":
        first = chosen & ~episodes["patient_id"].duplicated()
        other = federation_data(episodes[~first], splits)
    elif how == "age":
        last = chosen & ~episodes["patient_id"].duplicated(keep="last")
        other = federation_data(episodes.assign(age=episodes["age"].mask(last, 3.5)), splits)
    else:
        other = federation_data(
            episodes.assign(label=episodes["label"].mask(chosen, 1 - episodes["label"])), splits
        )
    if few >= 10:
        known(folder, "second", other)
    else:
        with pytest.raises(RefusalError, match=r"nearly the same patients.*too few$"):
            known(folder, "second", other)
        assert not (folder / "sets" / "second.safetensors").exists()


def test_a_change_of_all_patients_does_not_hide_one_that_is_gone(tmp_path: Path) -> None:
    """Another unit of a feature changes what everybody contributes to it, and to it alone."""
    episodes, splits = tables()
    known(tmp_path, "first", federation_data(episodes, splits))
    gone = splits["patient_id"].iloc[0]
    scaled = episodes.assign(days=episodes["days"] * 2)
    with pytest.raises(RefusalError, match="nearly the same"):
        known(
            tmp_path, "second",
            federation_data(
                scaled[scaled["patient_id"] != gone], splits[splits["patient_id"] != gone]
            ),
        )  # fmt: skip
    one = scaled.assign(age=scaled["age"].mask(scaled["patient_id"] == gone, 0.0))
    with pytest.raises(RefusalError, match="nearly the same"):
        known(tmp_path, "second", federation_data(one, splits))
    known(tmp_path, "second", federation_data(scaled, splits))


def test_sets_of_other_features_are_told_apart_by_their_patients(tmp_path: Path) -> None:
    episodes, splits = tables()
    known(tmp_path, "first", federation_data(episodes, splits))
    fewer = episodes.drop(columns="days")
    gone = splits["patient_id"].iloc[0]
    with pytest.raises(RefusalError, match="nearly the same"):
        known(
            tmp_path, "second",
            federation_data(
                fewer[fewer["patient_id"] != gone], splits[splits["patient_id"] != gone]
            ),
        )  # fmt: skip
    known(tmp_path, "second", federation_data(fewer, splits))


def test_the_sets_are_digests_with_the_secret(tmp_path: Path) -> None:
    known(tmp_path, "first", data())
    content = (tmp_path / "sets" / "first.safetensors").read_bytes()
    assert b"p000" not in content
    KnownSets(tmp_path / "other").check("first", data(), "AU", b"t" * 32, 10)
    other = (tmp_path / "other" / "sets" / "first.safetensors").read_bytes()
    assert content[-2000:] != other[-2000:]


def test_a_damaged_record_is_not_passed_over(tmp_path: Path) -> None:
    known(tmp_path, "first", data())
    path = tmp_path / "sets" / "first.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RefusalError, match="is damaged"):
        known(tmp_path, "second", data())
