"""Profiles, distances and what stands out, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.studies.attribution.compare import (
    BY_COUNTRY_COLUMNS,
    compare_by_country,
    mean_importance,
    profile,
    share_differences,
    total_variation,
)

GROUPS = ["EDSS", "Sex", "Age"]
Cells = dict[tuple[str, str, int, int], list[float]]


def table(cells: Cells, episodes: dict[tuple[str, int], int] | None = None) -> pd.DataFrame:
    """An importance table from increases by (paradigm, country, seed, repeat)."""
    rows = [
        (paradigm, "fedavg", seed, country, group, repeat, value,
         (episodes or {}).get((country, seed), 10))
        for (paradigm, country, seed, repeat), values in cells.items()
        for group, value in zip(GROUPS, values, strict=True)
    ]  # fmt: skip
    names = ["paradigm", "strategy", "seed", "country", "group", "repeat", "increase", "n_episodes"]
    return pd.DataFrame(rows, columns=names)


def seeds_of(paradigm: str, country: str, *increases: list[float]) -> Cells:
    """One permutation a seed."""
    return {(paradigm, country, seed, 0): values for seed, values in enumerate(increases)}


def test_a_profile_and_a_distance() -> None:
    np.testing.assert_allclose(profile(np.array([0.2, 0.2, -1.0])), [0.5, 0.5, 0])
    assert np.isnan(profile(np.array([0.0, -0.1]))).all()
    assert total_variation(np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5])) == 1
    assert np.isnan(total_variation(profile(np.zeros(2)), np.array([0.5, 0.5])))


def test_means_weight_seeds_by_their_episodes() -> None:
    cells = {
        ("federated", "Malta", 0, 0): [0.1, 0.0, 0.0],
        ("federated", "Malta", 0, 1): [0.3, -0.2, 0.0],
        ("federated", "Malta", 1, 0): [0.6, 0.1, 0.1],
        ("federated", "Malta", 1, 1): [0.6, 0.1, 0.1],
    }
    found = mean_importance(table(cells, {("Malta", 0): 30, ("Malta", 1): 10}))
    # EDSS: 0.2 in seed 0 and 0.6 in seed 1: (30 * 0.2 + 10 * 0.6) / 40; Sex: -0.1 and 0.1
    np.testing.assert_allclose(found["increase"], [0.3, -0.05, 0.025])
    np.testing.assert_allclose(found["low"], [0.2, -0.1, 0.0])
    np.testing.assert_allclose(found["high"], [0.6, 0.1, 0.1])
    np.testing.assert_allclose(found["share"], [0.3 / 0.325, 0, 0.025 / 0.325])
    assert found["group"].tolist() == GROUPS
    assert set(found["n_episodes"]) == {20}
    # the order of the rows says nothing but the order of the groups
    again = table(cells, {("Malta", 0): 30, ("Malta", 1): 10}).sort_values(
        ["repeat", "seed"], kind="stable"
    )
    pd.testing.assert_frame_equal(mean_importance(again), found)


def two_seeds() -> Cells:
    """Malta moves from EDSS to Sex in both seeds; Fiji is as the global model."""
    return (
        seeds_of("federated", "Malta", [0.3, 0.1, 0.0], [0.1, 0.1, 0.0])
        | seeds_of("federated", "Fiji", [0.2, 0.0, 0.0], [0.2, 0.0, 0.0])
        | seeds_of("adaptive", "Malta", [0.1, 0.3, 0.0], [0.0, 0.2, -0.1])
        | seeds_of("adaptive", "Fiji", [0.2, 0.0, 0.0], [0.1, 0.0, 0.0])
    )


def test_distance_and_both_noises_by_hand() -> None:
    found = compare_by_country(table(two_seeds()))
    assert list(found.columns) == BY_COUNTRY_COLUMNS
    assert found["country"].tolist() == ["Malta", "Fiji"]
    malta, fiji = (found.iloc[i] for i in range(2))
    # means of two seeds: global (0.2, 0.1, 0) is 2/3, 1/3; personal (0.05, 0.25, -) is 1/6, 5/6
    assert malta["distance"] == pytest.approx(0.5)
    # Fiji's models both use the EDSS alone; those of Malta are what lies elsewhere for Fiji
    assert malta["elsewhere"] == pytest.approx(0)
    assert fiji["elsewhere"] == pytest.approx(0.5)
    # a half is a seed: global 3/4, 1/4 and 1/2, 1/2; personal 1/4, 3/4 and 0, 1
    assert malta["noise"] == pytest.approx(0.25)
    # the differences: -1/2, 1/2 in either seed: the same
    assert malta["noise_paired"] == pytest.approx(0)
    assert malta["stands_out"]
    assert (malta["top_group_global"], malta["top_group_personal"]) == ("EDSS", "Sex")
    assert fiji[["distance", "noise", "noise_paired"]].tolist() == [0, 0, 0]
    assert not fiji["stands_out"]
    assert malta["n_episodes"] == 10


@pytest.mark.parametrize(
    ("personal", "distance", "paired", "out"),
    [
        # shares of Sex in the personal model; the global one has none of it
        ((0.30, 0.30), 0.30, 0.00, True),
        ((0.40, 0.20), 0.30, 0.20, False),  # below twice 0.2
        ((0.35, 0.25), 0.30, 0.10, True),
        ((0.09, 0.09), 0.09, 0.00, False),  # not a tenth
        ((0.19, 0.19), 0.19, 0.00, False),  # not above what moved in Fiji, 0.2
        ((0.21, 0.21), 0.21, 0.00, True),
    ],
)
def test_the_rule(personal: tuple[float, float], distance: float, paired: float, out: bool) -> None:
    alike = [1.0, 0.0, 0.0]
    cells = seeds_of("federated", "Fiji", alike, alike)
    cells |= seeds_of("federated", "Malta", alike, alike)
    cells |= seeds_of("fine_tuned", "Malta", *([1 - share, share, 0.0] for share in personal))
    cells |= seeds_of("fine_tuned", "Fiji", *[[0.8, 0.2, 0.0]] * 2)
    row = compare_by_country(table(cells)).set_index("country").loc["Malta"]
    assert row["distance"] == pytest.approx(distance)
    assert row["noise_paired"] == pytest.approx(paired)
    assert row["elsewhere"] == pytest.approx(0.2)
    assert bool(row["stands_out"]) is out


def test_three_seeds_are_halved_in_three_ways() -> None:
    """The personal model's shares of Sex are 0, 0 and 0.6: halves 0 | 0.3, 0 | 0.3, 0.6 | 0."""
    alike = [1.0, 0.0, 0.0]
    cells = seeds_of("federated", "Malta", alike, alike, alike)
    cells |= seeds_of("fine_tuned", "Malta", alike, alike, [0.4, 0.6, 0.0])
    row = compare_by_country(table(cells)).iloc[0]
    assert row["noise"] == row["noise_paired"] == pytest.approx((0.3 + 0.3 + 0.6) / 3)
    assert row["distance"] == pytest.approx(0.2)
    assert not row["stands_out"]


def test_one_seed_is_halved_by_permutations() -> None:
    cells = {
        (paradigm, "Malta", 7, repeat): values
        for paradigm, both in {
            "federated": ([0.2, 0.0, 0.0], [0.2, 0.0, 0.0]),
            "adaptive": ([0.1, 0.1, 0.0], [0.2, 0.1, 0.1]),
        }.items()
        for repeat, values in enumerate(both)
    }
    row = compare_by_country(table(cells)).iloc[0]
    # 1/2, 1/2, 0 against 1/2, 1/4, 1/4
    assert row["noise"] == row["noise_paired"] == pytest.approx(0.25)
    # (0.15, 0.1, 0.05) / 0.3 against 1, 0, 0
    assert row["distance"] == pytest.approx(0.5)
    assert not row["stands_out"]  # not above twice 0.25
    assert np.isnan(row["elsewhere"])  # there is no other country


def test_what_cannot_be_known_does_not_stand_out() -> None:
    """Kuwait was tested in one of two seeds; in Oman nothing raises the personal model's loss."""
    alike, other = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    cells = (
        {("federated", "Kuwait", 1, 0): alike, ("adaptive", "Kuwait", 1, 0): other}
        | seeds_of("federated", "Oman", alike, alike)
        | seeds_of("adaptive", "Oman", [-0.1, 0.0, 0.0], [0.0, 0.0, 0.0])
    )
    found = compare_by_country(table(cells)).set_index("country")
    assert found.index.tolist() == ["Kuwait", "Oman"]
    assert found.loc["Kuwait", "distance"] == 1
    assert found[["noise", "noise_paired"]].isna().all(axis=None)
    assert np.isnan(found.loc["Oman", "distance"])
    assert found["top_group_personal"].tolist() == ["Sex", ""]
    assert not found["stands_out"].any()
    assert found["stands_out"].dtype == bool


def test_models_by_chance_apart_seldom_stand_out() -> None:
    """Two models with the same expectation and independent noise: fewer than one in a hundred."""
    random = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [["federated", "fine_tuned"], [f"country {i}" for i in range(300)], range(3), range(11)],
        names=["paradigm", "country", "seed", "group"],
    )
    rows = index.to_frame(index=False)
    rows["increase"] = 0.06 / (1 + rows["group"]) + random.normal(0, 0.01, len(rows))
    found = compare_by_country(rows.assign(strategy="fedavg", repeat=0, n_episodes=10))
    assert len(found) == 300
    assert found["stands_out"].mean() < 0.01
    assert (found["distance"] / found["noise_paired"]).mean() == pytest.approx(0.5, abs=0.1)


def test_differences_of_shares() -> None:
    found = share_differences(table(two_seeds()))
    assert found["country"].unique().tolist() == ["Malta", "Fiji"]
    assert set(found["paradigm"]) == {"adaptive"}
    malta = found.loc[found["country"] == "Malta", "difference"]
    np.testing.assert_allclose(malta, [1 / 6 - 2 / 3, 5 / 6 - 1 / 3, 0])
    by_country = compare_by_country(table(two_seeds())).set_index("country")["distance"]
    halves = found.assign(half=found["difference"].abs() / 2).groupby("country")["half"].sum()
    np.testing.assert_allclose(halves[by_country.index], by_country)


def test_a_table_without_personal_or_without_global_models_gives_no_row() -> None:
    cells = seeds_of("federated", "Malta", [1, 0, 0], [1, 0, 0])
    assert list(compare_by_country(table(cells)).columns) == BY_COUNTRY_COLUMNS
    assert compare_by_country(table(cells)).empty
    renamed = {("local", *key[1:]): value for key, value in cells.items()}
    assert compare_by_country(table(renamed)).empty
    assert share_differences(table(renamed)).empty


def test_models_of_other_seeds_are_told() -> None:
    cells = seeds_of("federated", "Malta", [1, 0, 0], [1, 0, 0])
    cells |= seeds_of("adaptive", "Malta", [1, 0, 0])
    with pytest.raises(InputError, match=r"Adaptive FedAvg .* other seeds .* in Malta"):
        compare_by_country(table(cells))
