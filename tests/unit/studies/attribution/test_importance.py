"""Permutation importance against numbers worked out by hand, and what is shuffled with what."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from federation_examples import FEATURES, PROTOCOL, settings, tables
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import federation_data, redrawn
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.paradigms import Training
from ms_pfl.studies.attribution.compare import compare_by_country
from ms_pfl.studies.attribution.importance import IMPORTANCE_COLUMNS, importance
from ms_pfl.studies.parameters import AttributionParameters
from ms_pfl.training.bundle import FORMAT, ModelBundle, stamp_of
from paradigm_examples import Study, parameters

LOGISTIC = parameters(network=settings().model_dump()["network"] | {"hidden_layers": 0})
GROUPS = {"age": ("age",), "disease": ("edss", "relapses")}
FEDERATED = Training("federated", "fedavg")
TWICE = AttributionParameters(repeats=2, seed=0)


def four_rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two countries, AU with two test episodes and BE with one, and one to train on in each."""
    rows = [
        ("a0", "AU", "train", 1, 50.0, 0.0, 0.0),
        ("a1", "AU", "test", 1, 44.0, 2.0, 1.0),
        ("a2", "AU", "test", 0, 50.0, -1.0, 0.0),
        ("b0", "BE", "train", 0, 50.0, 0.0, 0.0),
        ("b1", "BE", "test", 0, 70.0, 1.0, np.nan),
    ]
    names = ["episode_id", "country", "split", "label", *FEATURES]
    table = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(FEATURES, "float32"))
    table["patient_id"] = table["episode_id"]
    return (
        table[["episode_id", "patient_id", "country", "label", *FEATURES]],
        table[["patient_id", "country", "split"]].assign(seed=0),
    )


def by_hand(weights: list[float], bias: float = 0.0) -> dict[Training, dict]:
    """A federated logistic regression of age / 10 - 5, edss and relapses, as if it were trained."""
    data = federation_data(*four_rows())
    return {
        FEDERATED: {
            "seed=0/shared/output.weight": np.array([weights], np.float32),
            "seed=0/shared/output.bias": np.array([bias], np.float32),
            "seed=0/inputs/mean": np.array([50.0, 0.0, 0.0]),
            "seed=0/inputs/sd": np.array([10.0, 1.0, 1.0]),
            "format": np.array([FORMAT]),
            "stamp": stamp_of(FEDERATED, data, LOGISTIC),
        }
    }


def drawn(seed: int, country: str, group: str, repeat: int, n: int, own: int = 0) -> list[int]:
    number = derive_seed(own, "permutation", seed, country, group, repeat)
    return np.random.default_rng(number).permutation(n).tolist()


def test_two_episodes_by_hand() -> None:
    """Logit = edss: 2 for the positive a1, -1 for the negative a2.

    As they are they cost ln(1 + e^-2) and ln(1 + e^-1). Exchanged, a1 has -1 and a2 has 2, which
    cost ln(1 + e^1) and ln(1 + e^2). As ln(1 + e^z) - ln(1 + e^-z) = z, that is 1 + 2 = 3 more in
    all, 1.5 an episode.
    """
    before = math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))
    after = math.log1p(math.exp(1)) + math.log1p(math.exp(2))
    assert after - before == pytest.approx(3)
    many = AttributionParameters(repeats=12, seed=0)
    table = importance(*four_rows(), by_hand([0, 1, 0]), GROUPS, LOGISTIC, many)
    own = table[(table["country"] == "AU") & (table["group"] == "disease")]
    exchanged = [drawn(0, "AU", "disease", repeat, 2) == [1, 0] for repeat in range(12)]
    assert 0 < sum(exchanged) < 12
    np.testing.assert_allclose(own["increase"], [1.5 * moved for moved in exchanged], rtol=1e-6)
    # BE's one episode cannot be shuffled: it has no row, and adds none to the 3 / 3 of all
    assert set(table["country"]) == {"AU", ""}
    together = table[(table["country"] == "") & (table["group"] == "disease")]
    np.testing.assert_allclose(
        together["increase"], [1.0 * moved for moved in exchanged], rtol=1e-6
    )
    assert set(own["n_episodes"]) == {2}
    assert set(together["n_episodes"]) == {3}


def test_a_group_that_is_not_used_rises_by_nothing_at_all() -> None:
    table = importance(*four_rows(), by_hand([0, 1, 0.5]), GROUPS, LOGISTIC, TWICE)
    assert (table.loc[table["group"] == "age", "increase"] == 0.0).all()


def test_the_columns_of_a_group_move_together() -> None:
    """With weights that cancel in every row, only columns that part company cost anything."""
    episodes, splits = four_rows()
    episodes["relapses"] = episodes["edss"]
    models = by_hand([0, 3, -3])
    data = federation_data(episodes, splits)
    models[FEDERATED]["stamp"] = stamp_of(FEDERATED, data, LOGISTIC)
    many = AttributionParameters(repeats=12, seed=0)
    table = importance(episodes, splits, models, GROUPS, LOGISTIC, many)
    assert (table["increase"] == 0.0).all()
    apart = {name: (name,) for name in FEATURES}
    table = importance(episodes, splits, models, apart, LOGISTIC, many)
    assert (table.loc[table["group"] == "edss", "increase"] > 0).any()


def test_a_missing_value_is_moved_and_filled_as_in_prediction() -> None:
    """a1's edss is unknown and counts as the mean, 0: its logit is 0, a2's -1."""
    episodes, splits = four_rows()
    episodes.loc[episodes["episode_id"] == "a1", "edss"] = np.nan
    models = by_hand([0, 1, 0])
    data = federation_data(episodes, splits)
    models[FEDERATED]["stamp"] = stamp_of(FEDERATED, data, LOGISTIC)
    many = AttributionParameters(repeats=12, seed=0)
    table = importance(episodes, splits, models, GROUPS, LOGISTIC, many)
    own = table[(table["country"] == "AU") & (table["group"] == "disease")]
    # exchanged: a1 costs ln(1 + e^1), a2 ln 2; before: ln 2 and ln(1 + e^-1); the rise is 1 in all
    exchanged = [drawn(0, "AU", "disease", repeat, 2) == [1, 0] for repeat in range(12)]
    np.testing.assert_allclose(own["increase"], [0.5 * moved for moved in exchanged], rtol=1e-6)


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


MODELS = [FEDERATED, Training("fine_tuned", "fedavg"), Training("adaptive", "fedavg")]


@pytest.fixture(scope="module")
def table(study: Study) -> pd.DataFrame:
    models = {key: study.outcome(*key).models for key in MODELS}
    return importance(*study.tables, models, GROUPS, study.told, TWICE)


def test_a_row_a_model_seed_country_group_and_permutation(table: pd.DataFrame) -> None:
    assert list(table.columns) == list(IMPORTANCE_COLUMNS)
    # 3 models, 2 seeds, 3 countries and all together, 2 groups, 2 permutations
    assert len(table) == 3 * 2 * 4 * 2 * 2
    assert not table.duplicated([*IMPORTANCE_COLUMNS[:6]]).any()
    assert table["increase"].abs().max() > 0
    assert table.dtypes.astype(str).to_dict() == dict.fromkeys(IMPORTANCE_COLUMNS, "str") | {
        "seed": "int64", "repeat": "int64", "increase": "float64", "n_episodes": "int64",
    }  # fmt: skip


def test_all_together_is_the_sum_over_countries(table: pd.DataFrame) -> None:
    keys = ["paradigm", "seed", "group", "repeat"]
    own = table[table["country"] != ""].assign(total=lambda t: t["increase"] * t["n_episodes"])
    sums = own.groupby(keys)[["total", "n_episodes"]].sum()
    together = table[table["country"] == ""].set_index(keys).sort_index()
    np.testing.assert_allclose(together["increase"], sums["total"] / sums["n_episodes"])
    assert (together["n_episodes"] == sums["n_episodes"]).all()


def test_the_rise_is_that_of_the_predictions_table(study: Study, table: pd.DataFrame) -> None:
    """Shuffled rows predicted one by one, minus the log-loss of the saved predictions."""
    key, seed, country, group = Training("fine_tuned", "fedavg"), 1, "BE", "disease"
    outcome = study.outcome(*key)
    own = outcome.predictions.query("seed == 1 and country == 'BE' and split == 'test'")
    y = own["label"].to_numpy()

    def loss(p: np.ndarray) -> float:
        return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))

    x = study.tables[0].set_index("episode_id").loc[own["episode_id"], FEATURES]
    saved = ModelBundle(outcome.models, key, study.told)
    expected = []
    for repeat in range(2):
        shuffled = x.copy()
        order = drawn(seed, country, group, repeat, len(x))
        shuffled[["edss", "relapses"]] = x[["edss", "relapses"]].to_numpy()[order]
        p = saved.predict(seed, country, shuffled.to_numpy(np.float32))
        expected.append(loss(p) - loss(own["probability"].to_numpy()))
    rows = table.query("paradigm == 'fine_tuned' and seed == 1 and country == 'BE'")
    found = rows.loc[rows["group"] == group, "increase"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_models_are_asked_alike_and_the_seed_decides(study: Study, table: pd.DataFrame) -> None:
    """One model alone, with a further group, in another order of rows: the same numbers."""
    key = MODELS[0]
    episodes, splits = study.tables
    mixed = episodes.sample(frac=1, random_state=1)
    models = {key: study.outcome(*key).models}
    groups = {"age": ("age",), "edss": ("edss",), "relapses": ("relapses",)}
    alone = importance(mixed, splits, models, groups, study.told, TWICE)

    def of_age(rows: pd.DataFrame) -> list[float]:
        chosen = (rows["paradigm"] == "federated") & (rows["group"] == "age")
        return rows.loc[chosen, "increase"].tolist()

    assert of_age(alone) == of_age(table)
    other = AttributionParameters(repeats=2, seed=1)
    assert of_age(importance(mixed, splits, models, groups, study.told, other)) != of_age(table)


def test_fine_tuning_on_redrawn_rows_is_asked_about_the_same_test_rows() -> None:
    study = Study(told=parameters(protocol=PROTOCOL | {"fine_tuning_rows": "redrawn"}))
    models = {key: study.outcome(*key).models for key in MODELS[:2]}
    found = importance(*study.tables, models, GROUPS, study.told, TWICE)
    counts = found.groupby(["seed", "country"])["n_episodes"].nunique()
    assert (counts == 1).all()


def test_what_is_wrong_is_told(study: Study) -> None:
    models = {MODELS[0]: study.outcome(*MODELS[0]).models}
    for groups, said in (
        ({"age": ("age",)}, "edss is in no group"),
        (GROUPS | {"more": ("edss",)}, "edss is named twice"),
        (GROUPS | {"more": ("height",)}, "height is no feature"),
    ):
        with pytest.raises(InputError, match=said):
            importance(*study.tables, models, groups, study.told, TWICE)
    episodes, splits = tables()
    with pytest.raises(InputError, match=r"federated\.fedavg were trained on other data"):
        importance(episodes, redrawn(splits), models, GROUPS, study.told, TWICE)
    first = {name: array for name, array in models[FEDERATED].items() if name != "format"}
    with pytest.raises(InputError, match=r"^the saved models of federated\.fedavg have format 1, "):
        importance(episodes, splits, {FEDERATED: first}, GROUPS, study.told, TWICE)


def test_a_country_where_another_feature_decides_stands_out() -> None:
    """The EDSS tells everywhere, and in CZ relapses tell more: CZ alone is named."""
    episodes, splits = tables({"AU": 300, "BE": 300, "CZ": 300}, seeds=(0, 1, 2))
    random = np.random.default_rng(1)
    relapses = random.normal(size=len(episodes)).astype(np.float32)
    decides = np.where(episodes["country"] == "CZ", 2 * relapses, 0) + (episodes["edss"] - 3) / 2
    worse = decides + random.normal(size=len(episodes)) > 0
    episodes = episodes.assign(relapses=relapses, label=worse.astype(np.int8))
    told = parameters(
        fine_tuned=parameters().fine_tuned.model_dump() | {"epochs": 15, "learning_rate_factor": 1},
        federation={"rounds": 8, "patience": None, "client_fraction": 1.0},
    )
    study = Study(told=told, tables=(episodes, splits))
    models = {key: study.outcome(*key).models for key in MODELS[:2]}
    groups = {name: (name,) for name in FEATURES}
    many = AttributionParameters(repeats=5, seed=0)
    found = compare_by_country(importance(*study.tables, models, groups, told, many))
    out = found[found["stands_out"]]
    assert out["country"].tolist() == ["CZ"]
    assert out["top_group_personal"].tolist() == ["relapses"]
