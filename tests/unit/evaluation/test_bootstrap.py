"""The patient bootstrap against a plain loop that repeats rows, and against scipy's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from ms_pfl.evaluation.bootstrap import (
    MIN_PATIENTS,
    Resamples,
    StandIn,
    draw_patients,
    stand_ins,
    weighted_rank_metrics,
)
from ms_pfl.evaluation.replicates import (
    FitReplicates,
    HeldOutRows,
    ModelReplicates,
    _sizes,
    intervals,
    replicate_fit,
)
from ms_pfl.studies.protocol_audit.compare import measure
from ms_pfl.studies.protocol_audit.show import audit_table

EPSILON = np.finfo(float).eps


def clustered(seed: int = 0, countries: int = 3) -> pd.DataFrame:
    """Patients with one to six episodes; scores tied on purpose; country c2 has one class."""
    random = np.random.default_rng(seed)
    rows = []
    for c in range(countries):
        for p in range(int(random.integers(10, 14))):
            for _ in range(int(random.integers(1, 7))):
                label = 0 if c == 2 else int(random.random() < 0.4)
                score = round(float(1 / (1 + np.exp(-random.normal(label)))), 1)
                rows.append((f"c{c}", f"p{p}", label, score))
    return pd.DataFrame(rows, columns=["country", "patient_id", "label", "probability"])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_weighted_metrics_are_those_of_repeated_rows(
    rows: list[tuple[bool, int]], seed: int
) -> None:
    labels = np.array([int(label) for label, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    weights = np.random.default_rng(seed).integers(0, 4, size=(len(rows), 5))
    roc, pr = weighted_rank_metrics(labels, scores, weights)
    for column, times in enumerate(weights.T):
        y, s = np.repeat(labels, times), np.repeat(scores, times)
        both = len(set(y)) == 2
        expected = roc_auc_score(y, s) if both else np.nan
        np.testing.assert_allclose(roc[column], expected, rtol=1e-12)
        expected = average_precision_score(y, s) if both else np.nan
        np.testing.assert_allclose(pr[column], expected, rtol=1e-12)


def test_weights_may_be_given_by_cluster() -> None:
    table = clustered()
    clusters = pd.factorize(table["country"] + table["patient_id"])[0]
    weights = np.random.default_rng(0).random((clusters.max() + 1, 7))
    labels, scores = table["label"].to_numpy(), table["probability"].to_numpy()
    found = weighted_rank_metrics(labels, scores, weights, clusters)
    expected = weighted_rank_metrics(labels, scores, weights[clusters])
    np.testing.assert_array_equal(found, expected)
    one = roc_auc_score(labels, scores, sample_weight=weights[clusters, 0])
    assert found[0][0] == pytest.approx(one, rel=1e-12)
    one = average_precision_score(labels, scores, sample_weight=weights[clusters, 0])
    assert found[1][0] == pytest.approx(one, rel=1e-12)


def whole(table: pd.DataFrame, replicates: int, seed: int) -> Resamples:
    """Whole weights, as drawing n of n patients gives, so that rows can be repeated."""
    drawn = draw_patients(table, replicates, seed)
    random = np.random.default_rng(seed)
    weights = drawn.weights.copy()
    weights[:, 1:] = random.integers(0, 3, size=weights[:, 1:].shape)
    return Resamples(drawn.patients, weights)


def test_a_replicate_is_the_metric_of_the_drawn_patients_rows() -> None:
    """A plain loop: repeat each patient's rows as often as it was drawn, then score."""
    table = clustered()
    resamples = whole(table, 30, seed=1)
    test = HeldOutRows.of(table, resamples, 0)
    found = replicate_fit(test, table["probability"].to_numpy())
    assert found.pooled["roc_auc"][0] == roc_auc_score(table["label"], table["probability"])
    assert set(found.by_country["roc_auc"]) == {"c0", "c1"}
    assert set(found.by_country["brier"]) == {"c0", "c1", "c2"}
    for number in range(1, 31):
        times = dict(zip(resamples.patients, resamples.weights[:, number], strict=True))
        parts = [
            rows
            for key, rows in table.groupby(["country", "patient_id"])
            for _ in range(int(times[key]))
        ]
        drawn = pd.concat(parts)
        for metric, function in (
            ("roc_auc", roc_auc_score),
            ("pr_auc", average_precision_score),
            ("brier", brier_score_loss),
            ("log_loss", log_loss),
        ):
            pooled = function(drawn["label"], drawn["probability"].clip(EPSILON, 1 - EPSILON))
            assert found.pooled[metric][number] == pytest.approx(pooled, rel=1e-9)
            own = drawn[drawn["country"] == "c0"]
            if own["label"].nunique() == 2:
                value = function(own["label"], own["probability"])
                assert found.by_country[metric]["c0"][number] == pytest.approx(value, rel=1e-9)
        observed = drawn["label"].sum() / drawn["probability"].sum()
        assert found.pooled["observed_expected"][number] == pytest.approx(observed)
    macro = found.mean("roc_auc", weighted=False)
    own = [found.by_country["roc_auc"][c] for c in ("c0", "c1")]
    np.testing.assert_allclose(macro, np.mean(own, axis=0))
    sizes = table["country"].value_counts()
    by_hand = sum(found.by_country["brier"][c][0] * n for c, n in sizes.items()) / len(table)
    assert found.mean("brier", weighted=True)[0] == pytest.approx(by_hand)
    assert found.pooled["brier"][0] == pytest.approx(by_hand)


def test_countries_keep_their_size_and_the_seed_decides() -> None:
    table = pd.concat(
        [clustered(), pd.DataFrame({"country": ["c8"], "patient_id": ["alone"], "label": [1],
                                    "probability": [0.5]})]
    )  # fmt: skip
    one, again, other = (draw_patients(table.sample(frac=1), 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.weights, again.weights)
    assert (one.weights != other.weights).any()
    assert (one.weights[:, 0] == 1).all()
    sizes = table.drop_duplicates(["country", "patient_id"]).groupby("country").size()
    by_country = pd.DataFrame(one.weights.T, columns=one.patients).T.groupby(level=0).sum()
    np.testing.assert_allclose(by_country, sizes.to_numpy()[:, None] * np.ones((1, 51)), rtol=1e-5)
    assert (one.weights[one.positions(table[table["country"] == "c8"])] == 1).all()
    assert one.n_patients() == sizes.to_dict()
    # n - 1 of n patients are drawn, each with the weight n / (n - 1)
    n = sizes["c0"]
    own = one.weights[one.patients.get_level_values(0) == "c0", 1:] * (n - 1) / n
    np.testing.assert_allclose(own.sum(axis=0), n - 1, rtol=1e-5)
    np.testing.assert_allclose(own, np.round(own), atol=1e-5)
    with pytest.raises(KeyError, match="was not drawn from"):
        one.positions(pd.DataFrame({"country": ["c9"], "patient_id": ["p0"]}))


def test_the_spread_of_a_mean_in_a_small_stratum_is_unbiased() -> None:
    """Five patients: the variance of the mean is s^2 / n with n - 1 below the line in s^2."""
    values = np.array([0.0, 0.0, 1.0, 0.0, 1.0])
    table = pd.DataFrame({"country": "c", "patient_id": list("abcde")})
    weights = draw_patients(table, 200_000, 0).weights[:, 1:].astype(float)
    means = values @ weights / weights.sum(axis=0)
    assert means.var() == pytest.approx(values.var(ddof=1) / 5, rel=0.02)


def test_a_replicate_without_a_class_takes_another_one() -> None:
    defined = np.array([True, True, False, True, False, True])
    found = stand_ins({"A": defined}, {"A": MIN_PATIENTS}, seed=0)["A"]
    assert found.donor is None
    assert found.columns[[0, 1, 3, 5]].tolist() == [0, 1, 3, 5]
    assert set(found.columns[[2, 4]]) <= {1, 3, 5}
    only_observed = stand_ins({"A": np.array([True, False])}, {"A": MIN_PATIENTS}, 0)["A"]
    assert only_observed.columns.tolist() == [0, 0]


def test_a_small_country_borrows_the_spread_of_a_larger_one() -> None:
    defined = {name: np.ones(101, dtype=bool) for name in ("large", "small")}
    patients = {"large": 80, "small": 5, "not tested": 300}
    found = stand_ins(defined, patients, seed=0)
    assert found["large"].donor is None
    small = found["small"]
    assert (small.donor, small.scale) == ("large", 4.0)
    assert small.columns[0] == 0
    assert sorted(small.columns) == list(range(101))
    # in another seed's test rows the country chooses the same
    again = stand_ins({"small": defined["small"], "large": defined["large"]}, patients, 0)
    np.testing.assert_array_equal(again["small"].columns, small.columns)
    own = np.r_[0.9, np.zeros(100)]
    large = 0.7 + np.r_[0, np.random.default_rng(0).normal(0, 0.01, 100)]
    values = small.apply(own, large)
    assert values[0] == 0.9
    assert values[1:].std() == pytest.approx(4 * large[1:].std())
    alone = stand_ins({"small": defined["small"]}, {"small": 5}, 0)["small"]
    assert alone.donor is None


def test_intervals_leave_out_what_is_undefined() -> None:
    drawn = np.vstack([np.arange(102.0), np.full(102, np.nan), np.r_[0.0, np.full(100, np.nan), 7]])
    np.testing.assert_allclose(intervals(drawn), [[3.5, 98.5], [np.nan, np.nan], [7.0, 7.0]])


def pooled_roc_auc(table: pd.DataFrame, replicates: int) -> np.ndarray:
    rows = HeldOutRows.of(table, draw_patients(table, replicates, seed=0), 0)
    return replicate_fit(rows, table["probability"].to_numpy(), only=["roc_auc"]).pooled["roc_auc"]


def test_without_clusters_the_interval_is_scipys() -> None:
    """One episode a patient, one country: the percentile interval of scipy.stats.bootstrap."""
    random = np.random.default_rng(5)
    label = (random.random(300) < 0.4).astype(int)
    score = random.normal(label)
    table = pd.DataFrame(
        {"country": "c", "patient_id": [f"p{i}" for i in range(300)], "label": label,
         "probability": score}
    )  # fmt: skip
    found = intervals(pooled_roc_auc(table, 4000)[None])[0]
    expected = stats.bootstrap(
        (label, score), roc_auc_score, paired=True, vectorized=False, n_resamples=1000,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_clusters_widen_the_interval() -> None:
    """Twelve copies of each patient's episode tell no more than one."""
    random = np.random.default_rng(5)
    label = (random.random(60) < 0.4).astype(int)
    one = pd.DataFrame({"country": "c", "label": label, "probability": random.normal(label)})
    one["patient_id"] = [f"p{i}" for i in range(60)]
    spread = [pooled_roc_auc(table, 800)[1:].std() for table in (one, pd.concat([one] * 12))]
    assert spread[1] == pytest.approx(spread[0], rel=1e-9)


def variants() -> pd.DataFrame:
    """Two seeds; ``better`` moves the scores of the positives up, on other test rows."""
    parts = []
    for seed in (0, 1):
        sound = clustered(seed, countries=2).assign(seed=seed)
        sound["split"] = np.where(np.arange(len(sound)) % 3 == 0, "validation", "test")
        better = sound.assign(probability=sound["probability"] + 0.5 * sound["label"])
        better["split"] = np.where(np.arange(len(sound)) % 3 == 1, "validation", "test")
        parts += [sound.assign(variant="sound"), better.assign(variant="selection")]
    return pd.concat(parts, ignore_index=True).assign(paradigm="federated", strategy="fedavg")


def test_the_audit_subtracts_the_sound_variant() -> None:
    """Both variants' means over seeds worked out plainly; the sound one against itself is 0."""
    table = variants()
    audit = measure(table, replicates=300, seed=0)
    assert audit[["variant", "scope"]].to_numpy().tolist() == [
        ["sound", "pooled"], ["sound", "macro"], ["selection", "pooled"], ["selection", "macro"],
    ]  # fmt: skip
    test = table[table["split"] == "test"]
    means = {
        variant: np.mean([roc_auc_score(t["label"], t["probability"])
                          for _, t in rows.groupby("seed")])
        for variant, rows in test.groupby("variant")
    }  # fmt: skip
    pooled = audit[audit["scope"] == "pooled"].set_index("variant")
    assert pooled.loc["sound", ["value", "difference", "low", "high"]].tolist() == [
        pytest.approx(means["sound"]), 0, 0, 0,
    ]  # fmt: skip
    row = pooled.loc["selection"]
    assert row["value"] == pytest.approx(means["selection"])
    assert row["difference"] == pytest.approx(means["selection"] - means["sound"])
    assert 0 < row["low"] < row["difference"] < row["high"]
    same = measure(table.assign(probability=0.1 * table["label"]), 200, 0)
    assert (same[["difference", "low", "high"]].abs() < 1e-12).all(axis=None)


def test_macro_differences_run_over_countries_that_both_have() -> None:
    """In the other variant c1 is tested on one class: the difference is that of c0 alone."""
    table = variants()
    c1 = (table["variant"] == "selection") & (table["country"] == "c1") & (table["label"] == 1)
    table.loc[c1, "split"] = "validation"
    audit = measure(table, 100, 0).set_index(["variant", "scope"])
    test = table[(table["split"] == "test") & (table["country"] == "c0")]
    means = {
        variant: np.mean([roc_auc_score(t["label"], t["probability"])
                          for _, t in rows.groupby("seed")])
        for variant, rows in test.groupby("variant")
    }  # fmt: skip
    row = audit.loc["selection", "macro"]
    assert row["sound"] == pytest.approx(means["sound"])
    assert row["value"] == pytest.approx(means["selection"])


def test_a_macro_that_is_defined_nowhere_is_undefined_and_the_pooled_one_is_not() -> None:
    """Each country has one class: there is no country's ROC-AUC, and one of all rows."""
    rows = clustered(countries=2)
    rows["label"] = (rows["country"] == "c1").astype(int)
    table = pd.concat([rows.assign(variant=name) for name in ("sound", "selection")]).assign(
        paradigm="federated", strategy="fedavg", seed=0, split="test"
    )
    audit = measure(table, 100, 0).set_index(["scope", "variant"])
    assert audit.loc["macro", ["sound", "value", "difference", "low", "high"]].isna().all(axis=None)
    pooled = roc_auc_score(rows["label"], rows["probability"])
    assert audit.loc[("pooled", "selection"), "value"] == pytest.approx(pooled)
    assert audit.loc[("pooled", "selection"), ["difference", "low", "high"]].tolist() == [0, 0, 0]
    shown = audit_table(audit.reset_index()).set_index("ROC-AUC")["Federated FedAvg"]
    assert shown["macro"].tolist() == ["undefined", "undefined"]
    assert shown["pooled"].tolist() == [f"{pooled:.3f}", "+0.000 [+0.000, +0.000]"]


def test_who_borrows_does_so_in_replicates_of_its_own() -> None:
    # in the lender's own replicates a mean over both would vary as if they were one country
    known = np.ones(501, dtype=bool)
    found = stand_ins({"A": known, "B": known, "C": known}, {"A": 40, "B": 3, "C": 3}, seed=0)
    assert [found[name].donor for name in "ABC"] == [None, "A", "A"]
    columns = {name: found[name].columns for name in "ABC"}
    for name in "BC":
        assert columns[name][0] == 0
        assert sorted(columns[name]) == list(range(501))
    for one, other in ("AB", "AC", "BC"):
        assert (columns[one][1:] == columns[other][1:]).mean() < 0.02


def test_a_seed_without_a_value_is_left_out_of_the_mean() -> None:
    one = FitReplicates({"roc_auc": np.full(3, np.nan)}, {"roc_auc": {}}, {"roc_auc": {}})
    own = np.array([0.7, 0.6, 0.8])
    other = FitReplicates({"roc_auc": own}, {"roc_auc": {"A": own}}, {"roc_auc": {"A": own}})
    values = ModelReplicates.over_seeds([one, other]).values
    assert values["roc_auc", "pooled", ""].tolist() == own.tolist()
    assert values["roc_auc", "macro", ""].tolist() == own.tolist()
    assert not ModelReplicates.over_seeds([one]).values, "defined in no seed: no estimand"


def test_a_country_weighs_as_in_the_replicate_that_stands_in() -> None:
    sources = {"A": StandIn(np.array([0, 2, 2])), "B": StandIn(np.array([0, 2, 1]), "A", 2.0)}
    sizes = _sizes(sources, {"A": np.array([10.0, 0.0, 12.0]), "B": np.array([4.0, 3.0, 0.0])})
    assert sizes["A"].tolist() == [10.0, 12.0, 12.0]
    assert sizes["B"].tolist() == [4.0, 4.0, 4.0], "who borrows weighs as observed"
