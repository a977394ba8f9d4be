"""Differences between variants of the protocol against plain means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ms_pfl.studies.protocol_audit.compare import measure
from ms_pfl.studies.protocol_audit.show import audit_table
from patients_factory import clustered


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
