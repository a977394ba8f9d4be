"""The federated vocabulary: what a site states, the union, and the encoding."""

from __future__ import annotations

from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.cohort.custom.vocabulary import (
    Vocabulary,
    encode,
    feature_names,
    merge,
    site_vocabulary,
)
from ms_pfl.errors import InputError
from ms_pfl.learning.scaler import Scaler, ScalerSums

GHENT = pd.DataFrame(
    {"ward": ["B", None, "A"], "age": [61.0, np.nan, 48.0], "sex": [1.0, 0.0, 1.0]}
)
OSLO = pd.DataFrame({"ward": ["C", "A"], "age": [55.0, 70.0], "sex": [0.0, 0.0]})


def both(*, missing_indicators: bool = True) -> Vocabulary:
    return merge(
        site_vocabulary(rows, missing_indicators=missing_indicators) for rows in (GHENT, OSLO)
    )


def test_a_site_states_levels_and_gaps_and_no_row() -> None:
    assert site_vocabulary(GHENT, missing_indicators=True).model_dump() == {
        "columns": ("ward", "age", "sex"),
        "levels": {"ward": ("A", "B")},
        "numbers": ("age", "sex"),
        "missing": ("age", "ward"),
    }
    assert site_vocabulary(GHENT, missing_indicators=False).missing == ()


def test_the_server_takes_the_sorted_union() -> None:
    assert both().model_dump() == {
        "columns": ("ward", "age", "sex"),
        "levels": {"ward": ("A", "B", "C")},
        "numbers": ("age", "sex"),
        "missing": ("age", "ward"),
    }


def test_every_site_encodes_with_the_union() -> None:
    nan = np.nan
    expected = pd.DataFrame(
        {
            "ward=A": [0, nan, 1], "ward=B": [1, nan, 0], "ward=C": [0, nan, 0],
            "ward missing": [0, 1, 0], "age": [61, nan, 48], "age missing": [0, 1, 0],
            "sex": [1, 0, 1],
        },
        dtype="float32",
    )  # fmt: skip
    pd.testing.assert_frame_equal(encode(GHENT, both()), expected)
    # Oslo misses nothing, and has the indicators that Ghent asked for
    oslo = encode(OSLO, both())
    assert list(oslo.columns) == feature_names(both()) == list(expected.columns)
    assert oslo["age missing"].tolist() == [0, 0]
    assert "age missing" not in encode(OSLO, both(missing_indicators=False))


def test_a_missing_category_becomes_the_share_of_each_level_in_the_scaler() -> None:
    vocabulary = both(missing_indicators=False)
    sites = [encode(rows, vocabulary).to_numpy() for rows in (GHENT, OSLO)]
    scaler = Scaler.from_sums(ScalerSums.of(x) for x in sites)
    # of the four known wards two are A, one B, one C
    np.testing.assert_allclose(scaler.mean[:3], [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(scaler.apply(sites[0])[1, :3], [0, 0, 0])


def test_a_level_nobody_has_stated_is_zero_everywhere() -> None:
    new = pd.DataFrame({"ward": ["Z"], "age": [50.0], "sex": [1.0]})
    assert encode(new, both())[["ward=A", "ward=B", "ward=C"]].iloc[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "ward", [[1, 2, 1], [1.0, 2.0, 1.0], [" 1", "2.0", "1"], pd.Categorical([1, 2, 1])]
)
def test_codes_are_the_levels_that_their_text_is(ward: object) -> None:
    stated = Vocabulary(columns=("ward",), levels={"ward": ("1", "2")}, numbers=(), missing=())
    encoded = encode(pd.DataFrame({"ward": ward}), stated)
    assert encoded.to_numpy().tolist() == [[1, 0], [0, 1], [1, 0]]
    # what a site states itself is found again
    own = pd.DataFrame({"ward": pd.Series(ward).astype("object").where([True, True, False])})
    assert site_vocabulary(own.astype("str"), missing_indicators=False) == stated
    np.testing.assert_array_equal(encode(own, stated), [[1, 0], [0, 1], [np.nan, np.nan]])


def test_a_site_without_any_value_takes_the_kind_that_the_others_state() -> None:
    empty = pd.DataFrame({"ward": [np.nan], "age": [None], "sex": [1.0]})
    stated = site_vocabulary(empty, missing_indicators=True)
    assert stated.levels == {}
    assert stated.numbers == ("sex",)
    merged = merge([stated, both()])
    assert merged == both()
    assert encode(empty, merged).isna().to_numpy()[0].tolist() == [True] * 3 + [False, True] + [
        False, False,
    ]  # fmt: skip


def test_sites_that_do_not_agree_are_refused() -> None:
    text = OSLO.assign(age=["old", "young"])
    stated = [site_vocabulary(rows, missing_indicators=False) for rows in (GHENT, text)]
    with pytest.raises(InputError, match=r"column age holds numbers at one site and text at ano"):
        merge(stated)
    other = site_vocabulary(OSLO.drop(columns="sex"), missing_indicators=False)
    with pytest.raises(InputError, match=r"do not have the same columns.*: sex is not at all"):
        merge([stated[0], other])
    with pytest.raises(InputError, match="column age holds 'old' where the vocabulary has numbers"):
        encode(text, both())
    with pytest.raises(InputError, match="column sex of the vocabulary is absent"):
        encode(OSLO.drop(columns="sex"), both())


def test_two_features_of_one_name_are_refused() -> None:
    rows = GHENT.assign(**{"ward=A": 1.0})
    with pytest.raises(InputError, match="two features would be called 'ward=A'"):
        encode(rows, site_vocabulary(rows, missing_indicators=False))


texts = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "é", "="]))
numbers = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 12))

    def column(cells: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(cells, min_size=n, max_size=n))

    return pd.DataFrame(
        {
            "site": pd.Series(column(st.sampled_from("XYZ")), dtype="str"),
            "t": pd.Series(column(texts), dtype="str"),
            "u": pd.Series(column(texts), dtype="str"),
            "x": pd.Series(column(numbers), dtype="float32"),
        }
    )


@given(tables(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_sites_changes_nothing_and_a_site_alone_encodes_as_in_the_whole(
    table: pd.DataFrame, missing_indicators: bool, random: Random
) -> None:
    features = table.drop(columns="site")
    parts = [rows for _, rows in features.groupby(table["site"])]
    stated = [site_vocabulary(part, missing_indicators=missing_indicators) for part in parts]
    merged = merge(stated)
    random.shuffle(stated)
    assert merge(stated) == merged
    assert merge([merge(stated[:1]), *stated]) == merged
    # of all rows together nothing else could be said
    assert site_vocabulary(features, missing_indicators=missing_indicators) == merged
    whole = encode(features, merged)
    for part in parts:
        pd.testing.assert_frame_equal(encode(part, merged), whole.loc[part.index])
    assert Vocabulary.model_validate_json(merged.model_dump_json()) == merged


def test_a_text_that_looks_like_a_level_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    new = pd.DataFrame({"ward": ["b", "Z", "A\u00a0"], "age": [50.0] * 3, "sex": [1.0] * 3})
    encoded = encode(new, both())
    assert encoded[["ward=A", "ward=B", "ward=C"]].to_numpy().tolist() == [
        [0, 0, 0], [0, 0, 0], [1, 0, 0],
    ]  # fmt: skip
    assert caplog.messages == [
        "column ward: 'b' is no level and counts as none of them; write it as 'B' if it means the "
        "same"
    ]
