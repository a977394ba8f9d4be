"""The patient bootstrap against a plain loop that repeats rows, and against scipy's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from ms_pfl.evaluation.audit import measure
from ms_pfl.evaluation.bootstrap import (
    draw_patients,
    mean_over,
    replicate_roc_auc,
    weighted_roc_auc,
)
from ms_pfl.reporting.audit import audit_table


def clustered(seed: int = 0, countries: int = 3) -> pd.DataFrame:
    """Patients with one to six episodes; scores tied on purpose; country c2 has one class."""
    random = np.random.default_rng(seed)
    rows = []
    for c in range(countries):
        for p in range(int(random.integers(6, 14))):
            for _ in range(int(random.integers(1, 7))):
                label = 0 if c == 2 else int(random.random() < 0.4)
                score = round(float(random.normal(label)), 1)
                rows.append((f"c{c}", f"p{p}", label, score))
    return pd.DataFrame(rows, columns=["country", "patient_id", "label", "probability"])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_a_weighted_roc_auc_is_that_of_repeated_rows(
    rows: list[tuple[bool, int]], seed: int
) -> None:
    labels = np.array([int(label) for label, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    weights = np.random.default_rng(seed).integers(0, 4, size=(5, len(rows))).astype(np.uint8)
    found = weighted_roc_auc(labels, scores, weights)
    for value, times in zip(found, weights, strict=True):
        y, s = np.repeat(labels, times), np.repeat(scores, times)
        expected = roc_auc_score(y, s) if len(set(y)) == 2 else np.nan
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_a_replicate_is_the_metric_of_the_drawn_patients_rows() -> None:
    """A plain loop: repeat each patient's rows as often as it was drawn, then score."""
    table = clustered()
    resamples = draw_patients(table, 40, seed=1)
    found = replicate_roc_auc(table, resamples)
    macro = mean_over(list(found.by_country), found.by_country)
    assert found.pooled[0] == roc_auc_score(table["label"], table["probability"])
    own = [t for _, t in table.groupby("country") if t["label"].nunique() == 2]
    assert len(own) == 2
    assert macro[0] == pytest.approx(
        np.mean([roc_auc_score(t["label"], t["probability"]) for t in own])
    )
    for number in range(40):
        times = dict(zip(resamples.patients, resamples.counts[number], strict=True))
        parts = [
            rows
            for key, rows in table.groupby(["country", "patient_id"])
            for _ in range(int(times[key]))
        ]
        drawn = pd.concat(parts)
        pooled = roc_auc_score(drawn["label"], drawn["probability"])
        assert found.pooled[number + 1] == pytest.approx(pooled, rel=1e-12)
        values = [
            roc_auc_score(t["label"], t["probability"])
            for name, t in drawn.groupby("country")
            if name != "c2" and t["label"].nunique() == 2
        ]
        assert macro[number + 1] == pytest.approx(np.mean(values), rel=1e-12)


def test_countries_keep_their_size_and_the_seed_decides() -> None:
    table = clustered()
    one, again, other = (draw_patients(table.sample(frac=1), 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.counts, again.counts)
    assert (one.counts != other.counts).any()
    sizes = table.drop_duplicates(["country", "patient_id"]).groupby("country").size()
    by_country = pd.DataFrame(one.counts.T.astype(int), index=one.patients).groupby(level=0).sum()
    assert (by_country.to_numpy() == sizes.to_numpy()[:, None]).all()
    with pytest.raises(KeyError, match="was not drawn from"):
        one.weights(pd.DataFrame({"country": ["c9"], "patient_id": ["p0"]}))


def test_without_clusters_the_interval_is_scipys() -> None:
    """One episode a patient, one country: the percentile interval of scipy.stats.bootstrap."""
    random = np.random.default_rng(5)
    label = (random.random(300) < 0.4).astype(int)
    score = random.normal(label)
    table = pd.DataFrame(
        {"country": "c", "patient_id": [f"p{i}" for i in range(300)], "label": label,
         "probability": score}
    )  # fmt: skip
    found = replicate_roc_auc(table, draw_patients(table, 4000, seed=0)).pooled[1:]
    expected = stats.bootstrap(
        (label, score), roc_auc_score, paired=True, vectorized=False, n_resamples=1000,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(np.percentile(found, [2.5, 97.5]), expected, atol=0.01)


def test_clusters_widen_the_interval() -> None:
    """Twelve copies of each patient's episode tell no more than one."""
    random = np.random.default_rng(5)
    label = (random.random(60) < 0.4).astype(int)
    one = pd.DataFrame({"country": "c", "label": label, "probability": random.normal(label)})
    one["patient_id"] = [f"p{i}" for i in range(60)]
    many = pd.concat([one] * 12)
    spread = {}
    for name, table in (("one", one), ("many", many)):
        spread[name] = replicate_roc_auc(table, draw_patients(table, 800, seed=0)).pooled.std()
    assert spread["many"] == pytest.approx(spread["one"], rel=1e-9)


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
    assert (same[["difference", "low", "high"]] == 0).all(axis=None)


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
