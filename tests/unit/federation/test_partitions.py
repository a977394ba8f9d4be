"""Countries' arrays: rows, order, and what cannot be used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from federation_examples import FEATURES, data_of, tables
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import POOLED, feature_columns, federation_data


def test_rows_and_splits_are_the_tables() -> None:
    episodes, splits = tables()
    data = federation_data(episodes, splits)
    assert data.features == tuple(FEATURES) == tuple(feature_columns(episodes))
    assert (list(data.countries), data.seeds) == (["AU", "BE", "CZ"], (0, 1))
    for seed in data.seeds:
        split_of = splits[splits["seed"] == seed].set_index("patient_id")["split"]
        for country in data.countries:
            client = data.rows(country).client_data(seed)
            own = episodes[episodes["country"] == country]
            for name in ("train", "validation", "test"):
                expected = own[own["patient_id"].map(split_of) == name]
                part = getattr(client, name)
                np.testing.assert_array_equal(part.x, expected[FEATURES].to_numpy())
                np.testing.assert_array_equal(part.y, expected["label"])
                assert part.x.dtype == part.y.dtype == np.float32
            assert data.training_rows(country, seed) == len(client.train.y)


def test_the_order_of_rows_does_not_matter() -> None:
    episodes, splits = tables()
    shuffled = federation_data(
        episodes.sample(frac=1, random_state=1), splits.sample(frac=1, random_state=2)
    )
    data = federation_data(episodes, splits)
    assert shuffled.identity == data.identity
    assert list(shuffled.countries) == list(data.countries)
    for country, rows in data.countries.items():
        np.testing.assert_array_equal(shuffled.countries[country].x, rows.x)
        pd.testing.assert_frame_equal(shuffled.ids[country], data.ids[country])


def test_a_country_needs_its_own_rows_alone() -> None:
    episodes, splits = tables()
    alone = federation_data(
        episodes[episodes["country"] == "BE"], splits[splits["country"] == "BE"]
    )
    np.testing.assert_array_equal(alone.rows("BE").x, data_of(seeds=(0, 1)).rows("BE").x)


def test_the_identity_tells_contents_apart() -> None:
    episodes, splits = tables()
    changed = episodes.copy()
    changed.loc[0, "age"] += 1
    assert federation_data(changed, splits).identity != federation_data(episodes, splits).identity
    other = episodes.copy()
    other.loc[0, "patient_id"] = other["patient_id"].iloc[9]  # of the same split in each seed
    assert federation_data(other, splits).identity != federation_data(episodes, splits).identity


def test_the_pooled_node_holds_all_countries_in_order() -> None:
    data = data_of(seeds=(0, 1))
    pooled = data.rows(POOLED)
    np.testing.assert_array_equal(
        pooled.x, np.concatenate([data.rows(c).x for c in ("AU", "BE", "CZ")])
    )
    ids = pd.concat([data.ids[c].assign(country=c) for c in ("AU", "BE", "CZ")])
    expected = ids.groupby(["country", "patient_id"]).ngroup()
    assert pooled.patients.tolist() == expected.tolist()
    train = data.rows("BE").client_data(1).train
    mine = data.ids["BE"]["patient_id"].to_numpy()[data.rows("BE").splits[1] == 0]
    assert [(train.patients == p).sum() for p in train.patients] == [
        (mine == p).sum() for p in mine
    ]
    assert data.training_rows(POOLED, 1) == sum(data.training_rows(c, 1) for c in data.countries)


def test_chosen_features_in_the_order_given() -> None:
    data = federation_data(*tables(), ["edss", "age"])
    assert data.features == ("edss", "age")
    np.testing.assert_array_equal(data.rows("AU").x, data_of().rows("AU").x[:, [1, 0]])


def test_what_cannot_be_used_is_named() -> None:
    episodes, splits = tables()

    def wrong(match: str, e: pd.DataFrame = episodes, s: pd.DataFrame = splits) -> None:
        with pytest.raises(InputError, match=match):
            federation_data(e, s)

    wrong("episodes: column label is missing", episodes.drop(columns="label"))
    wrong("splits: column seed is missing", s=splits.drop(columns="seed"))
    wrong("episodes: the table has no rows", episodes.iloc[:0])
    wrong("no feature column", episodes.drop(columns=FEATURES))
    wrong("label must be 0 or 1", episodes.assign(label=2))
    wrong("cannot be called 'pooled'", episodes.assign(country="pooled"))
    wrong("feature sex is .*, not a number", episodes.assign(sex="female"))
    wrong("feature edss has infinite", episodes.assign(edss=np.float32(np.inf)))
    wrong("two splits in seed 0", s=pd.concat([splits, splits.iloc[:1]]))
    first = splits["patient_id"] == "BE-p0000"
    wrong("patient BE-p0000 of country BE has no split in seed 0", s=splits[~first])
    wrong("split 'holdout'", s=splits.assign(split=splits["split"].mask(first, "holdout")))
    nobody = splits["split"].mask(splits["country"] == "CZ", "test")
    wrong("country CZ has no training patient in seed 0", s=splits.assign(split=nobody))
