from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cohort_examples import FRACTIONS
from hypothesis_profiles import examples
from ms_pfl.cohort.parameters import SplitFractions
from ms_pfl.cohort.schemas import Splits
from ms_pfl.cohort.splits import (
    count_splits,
    split_episodes,
    split_patients,
    split_sizes,
    stratum_sizes,
)


def episodes_of(sizes: dict[str, tuple[int, int]], rows: int = 2) -> pd.DataFrame:
    """Episodes of (patients that worsen once, patients that do not) of each country."""
    frame = []
    for country, (worse, same) in sizes.items():
        for i in range(worse + same):
            frame += [(f"{country}-{i}", country, int(i < worse and j == 0)) for j in range(rows)]
    return pd.DataFrame(frame, columns=["patient_id", "country", "label"])


def counts(splits: pd.DataFrame) -> tuple[int, int, int]:
    table = splits["split"].value_counts()
    return tuple(int(table.get(name, 0)) for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        (0, (0, 0, 0)),
        (1, (1, 0, 0)),
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (6, (4, 1, 1)),
        (7, (4, 1, 2)),
        (8, (5, 1, 2)),
        (10, (6, 2, 2)),
        (55, (33, 11, 11)),
        (1000, (600, 200, 200)),
    ],
)
def test_sizes_by_hand(n, sizes):
    assert split_sizes(n, FRACTIONS) == sizes


@given(n=st.integers(3, 5000), train=st.integers(1, 97), share=st.floats(0.01, 0.99))
def test_sizes_add_up_and_none_is_empty(n, train, share):
    rest = 100 - train
    validation = max(1, min(rest - 1, round(rest * share)))
    fractions = SplitFractions(
        train=train / 100, validation=validation / 100, test=(rest - validation) / 100
    )
    sizes = split_sizes(n, fractions)
    assert sum(sizes) == n
    assert min(sizes) >= 1
    exact = (n * train / 100, n * validation / 100, n * (rest - validation) / 100)
    assert all(
        abs(size - e) < 1 or e < 1 or min(exact) < 1 for size, e in zip(sizes, exact, strict=True)
    )


def test_small_countries():
    table = episodes_of({"one": (0, 1), "two": (1, 1), "three": (1, 2), "five": (2, 3)})
    splits = split_patients(table, [0, 1, 2], FRACTIONS)
    for (_, country), part in splits.groupby(["seed", "country"]):
        expected = {"one": (1, 0, 0), "two": (1, 0, 1), "three": (1, 1, 1), "five": (3, 1, 1)}
        assert counts(part) == expected[country]


def test_strata_are_split_each_by_itself():
    table = episodes_of({"Italy": (10, 90), "Iran": (3, 20)})
    splits = split_patients(table, range(5), FRACTIONS)
    worse = table.groupby("patient_id")["label"].max()
    splits["worse"] = worse.reindex(splits["patient_id"]).to_numpy()
    for (_, country, flag), part in splits.groupby(["seed", "country", "worse"]):
        expected = {
            ("Italy", 1): (6, 2, 2),
            ("Italy", 0): (54, 18, 18),
            ("Iran", 1): (1, 1, 1),
            ("Iran", 0): (13, 3, 4),  # 14, 4, 5 of 23 in all
        }
        assert counts(part) == expected[country, flag]


@pytest.mark.parametrize(
    ("worse", "same", "of_worse", "of_same"),
    [
        # Of 6 patients 4, 1, 1 and of 14 8, 3, 3: not the sum of what each stratum would round to.
        (3, 3, (2, 0, 1), (2, 1, 0)),
        (7, 7, (4, 1, 2), (4, 2, 1)),
        (3, 4, (2, 0, 1), (2, 1, 1)),
        (4, 3, (2, 1, 1), (2, 0, 1)),
        (5, 5, (3, 1, 1), (3, 1, 1)),
        (8, 8, (5, 1, 2), (5, 2, 1)),
        (3, 997, (1, 1, 1), (599, 199, 199)),
        (500, 3, (301, 99, 100), (1, 1, 1)),
        # Two are no stratum.
        (2, 4, None, None),
    ],
)
def test_a_country_of_two_strata_has_the_sizes_of_the_country(worse, same, of_worse, of_same):
    table = episodes_of({"Italy": (worse, same)})
    splits = split_patients(table, range(3), FRACTIONS)
    flags = table.groupby("patient_id")["label"].max().reindex(splits["patient_id"]).to_numpy()
    for _, part in splits.groupby("seed"):
        assert counts(part) == split_sizes(worse + same, FRACTIONS)
        if of_worse is not None:
            assert counts(part[flags[part.index] == 1]) == of_worse
            assert counts(part[flags[part.index] == 0]) == of_same


@settings(max_examples=examples(50))
@given(
    n=st.integers(3, 15),
    other=st.integers(3, 15),
    train=st.integers(1, 97),
    share=st.floats(0.01, 0.99),
)
def test_shares_of_two_strata_are_the_best_of_all(n, other, train, share):
    rest = 100 - train
    validation = max(1, min(rest - 1, round(rest * share)))
    total = split_sizes(
        n + other,
        SplitFractions(
            train=train / 100, validation=validation / 100, test=(rest - validation) / 100
        ),
    )
    ours = stratum_sizes(n, total)
    assert sum(ours) == n

    def cost(sizes: tuple[int, ...]) -> tuple[int, float]:
        second = [t - s for t, s in zip(total, sizes, strict=True)]
        ideal = [t * n / (n + other) for t in total]
        empty = (*sizes, *second).count(0)
        return empty, round(sum((s - i) ** 2 for s, i in zip(sizes, ideal, strict=True)), 9)

    every = itertools.product(*(range(t + 1) for t in total))
    assert cost(ours) == min(cost(sizes) for sizes in every if sum(sizes) == n)


def test_seeds_differ_and_repeat():
    table = episodes_of({"Italy": (20, 80)})
    splits = split_patients(table, [0, 1], FRACTIONS)
    first, second = (part["split"].tolist() for _, part in splits.groupby("seed"))
    assert first != second
    pd.testing.assert_frame_equal(splits, split_patients(table, [0, 1], FRACTIONS))


def test_splits_do_not_change_between_versions():
    """Frozen: models that were saved were trained on these patients."""
    splits = split_patients(episodes_of({"Italy": (3, 4)}), [0], FRACTIONS)
    order = "test train train train train validation test"
    assert splits["split"].tolist() == order.split()


@settings(max_examples=examples(25))
@given(
    sizes=st.dictionaries(
        st.sampled_from(["Österreich", "Belgium", "Iran", "Oman", "Qatar"]),
        st.tuples(st.integers(0, 12), st.integers(1, 30)),
        min_size=1,
    ),
    seed=st.integers(0, 2**31),
    order=st.randoms(use_true_random=False),
)
def test_no_patient_in_two_splits_and_nothing_hangs_on_order_or_other_countries(sizes, seed, order):
    table = episodes_of(sizes)
    splits = split_patients(table, [seed, seed + 1], FRACTIONS)
    Splits.validate(splits)
    assert len(splits) == 2 * table["patient_id"].nunique()
    assert not splits.duplicated(["country", "patient_id", "seed"]).any()
    ordered = splits.sort_values(["seed", "country", "patient_id"], ignore_index=True)
    pd.testing.assert_frame_equal(splits, ordered)

    rows = list(range(len(table)))
    order.shuffle(rows)
    pd.testing.assert_frame_equal(
        splits, split_patients(table.iloc[rows], [seed, seed + 1], FRACTIONS)
    )
    for country in sizes:
        alone = split_patients(table[table["country"] == country], [seed, seed + 1], FRACTIONS)
        pd.testing.assert_frame_equal(
            alone, splits[splits["country"] == country].reset_index(drop=True)
        )


def test_rows_that_are_patients():
    """A custom table without visits: each row is somebody."""
    n = 200
    table = episodes_of({"Hospital": (80, 120)}, rows=1)
    assert len(table) == n
    splits = split_patients(table, [7], FRACTIONS)
    assert counts(splits) == (120, 40, 40)
    test = splits.loc[splits["split"] == "test", "patient_id"]
    assert math.isclose(table.set_index("patient_id").loc[test, "label"].mean(), 0.4)


def test_the_same_id_in_two_countries_is_two_people():
    table = pd.DataFrame(
        {
            "patient_id": [str(i) for i in range(10)] * 2,
            "country": np.repeat(["A", "B"], 10),
            "label": 0,
        }
    )
    splits = split_patients(table, [0], FRACTIONS)
    assert len(splits) == 20
    first, second = (part["split"].tolist() for _, part in splits.groupby("country"))
    assert first != second


def test_fractions_add_up_to_one():
    with pytest.raises(ValidationError, match=r"must add up to 1, not 1\.1"):
        SplitFractions(train=0.7, validation=0.2, test=0.2)


def test_counts_of_a_country_by_hand() -> None:
    episodes = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "a"],
            "country": ["Belgium"] * 4 + ["Norway"],
            "label": [1, 0, 1, 0, 0],
        }
    )
    splits = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c", "a"],
            "country": ["Belgium"] * 3 + ["Norway"],
            "seed": 7,
            "split": ["train", "validation", "test", "train"],
        }
    )
    assert count_splits(episodes, splits).to_numpy().tolist() == [
        [7, "Belgium", 1, 1, 1, 2, 1],
        [7, "Norway", 1, 0, 0, 1, 0],
    ]


def test_a_secret_of_a_site_divides_its_patients_otherwise_and_always_so():
    table = episodes_of({"Italy": (30, 70), "Iran": (10, 40)})
    public = split_patients(table, [0, 1], FRACTIONS)
    pd.testing.assert_frame_equal(public, split_patients(table, [0, 1], FRACTIONS, b""))
    own = {
        secret: split_patients(table, [0, 1], FRACTIONS, secret)
        for secret in (b"a" * 32, b"b" * 32)
    }
    pd.testing.assert_frame_equal(
        own[b"a" * 32], split_patients(table, [0, 1], FRACTIONS, b"a" * 32)
    )
    tables = [public, *own.values()]
    for one, other in itertools.combinations(tables, 2):
        same = (one["split"] == other["split"]).mean()
        assert 0.2 < same < 0.7, "as two shuffled decks agree: 0.44 is expected"
        key = ["seed", "country"]
        assert counts(one) == counts(other)
        pd.testing.assert_series_equal(
            one.groupby(key)["split"].value_counts().sort_index(),
            other.groupby(key)["split"].value_counts().sort_index(),
        )


def test_episodes_are_split_by_the_secret_too():
    table = episodes_of({"Italy": (30, 70)}).assign(
        episode_id=lambda rows: [f"e{i}" for i in range(len(rows))]
    )
    public = split_episodes(table, [0], FRACTIONS)
    own = split_episodes(table, [0], FRACTIONS, b"a" * 32)
    assert (public["split"] == own["split"]).mean() < 0.7
    assert counts(public) == counts(own)
