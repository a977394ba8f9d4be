"""Scores of countries that were left out: against a plain loop, and from when on a model pays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import MIN_PATIENTS, draw_patients
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.inference import verdict
from ms_pfl.evaluation.random_effects import combine
from ms_pfl.studies.unseen_site.compare import FURTHER, measure, pays_from

MARGINS = {"roc_auc": 0.01, "log_loss": 0.002, "brier": 0.001}
LEFT_OUT = ("Australia", "Türkiye")


def table_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """As if two countries had been left out; Australia has 36 training patients, Türkiye 30."""
    test = predictions[
        (predictions["split"] == "test") & predictions["country"].isin(LEFT_OUT)
    ].drop(columns="split")
    by = {paradigm: test[test["paradigm"] == paradigm] for paradigm in ("local", "adaptive")}
    tuned = test[(test["paradigm"] == "fine_tuned") & (test["strategy"] == "fedavg")]
    alone = by["adaptive"][by["adaptive"]["strategy"] == "fedavg"]
    federated = test[(test["paradigm"] == "federated") & (test["strategy"] == "fedavg")]
    parts = [alone.assign(kind="global", size="0", n_patients=0)]
    parts.append(federated.assign(kind="took_part", size="0", n_patients=0))
    for size in ("10", "33", "all"):
        for kind, rows in (("personal", tuned), ("local", by["local"])):
            n = (
                rows["country"].map({"Australia": 36, "Türkiye": 30})
                if size == "all"
                else int(size)
            )
            part = rows.assign(kind=kind, size=size, n_patients=n)
            # Türkiye has no 33
            parts.append(part[part["country"] == "Australia"] if size == "33" else part)
    return pd.concat(parts, ignore_index=True).assign(strategy="fedavg", n_validation_patients=0)


@pytest.fixture(scope="module")
def measured(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    table = table_of(predictions)
    test = predictions[predictions["split"] == "test"]
    return table, *measure(table, test, replicates=200, seed=0, margins=MARGINS)


METRICS = {"roc_auc": roc_auc_score, "brier": brier_score_loss, "log_loss": log_loss}


def loop(rows: pd.DataFrame, metric: str, scope: str) -> float:
    """Mean over seeds of a metric: of all rows, or the mean of the countries'."""
    function, values = METRICS[metric], []
    for _, own in rows.groupby("seed"):
        groups = [own] if scope == "pooled" else [g for _, g in own.groupby("country")]
        values.append(np.mean([function(g["label"], g["probability"]) for g in groups]))
    return float(np.mean(values))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scope", ["pooled", "macro"])
def test_against_a_plain_loop(measured, metric: str, scope: str) -> None:  # type: ignore[no-untyped-def]
    table, estimates, differences = measured
    own = estimates[(estimates["metric"] == metric) & (estimates["scope"] == scope)]
    found = own.set_index(["kind", "size"])["value"]
    assert len(found) == 2 + 3 * 4, "two at none, four at each size"
    alone = table[table["kind"] == "global"]
    for size, countries in (("10", LEFT_OUT), ("33", LEFT_OUT[:1]), ("all", LEFT_OUT)):
        base = loop(alone[alone["country"].isin(countries)], metric, scope)
        assert found["global", size] == pytest.approx(base, abs=1e-6), "on the same countries"
        for kind in ("personal", "local"):
            rows = table[(table["kind"] == kind) & (table["size"] == size)]
            value = loop(rows, metric, scope)
            assert found[kind, size] == pytest.approx(value, abs=1e-6)
            gain = differences[
                (differences["kind"] == kind) & (differences["reference"] == "global")
                & (differences["size"] == size) & (differences["metric"] == metric)
                & (differences["scope"] == scope)
            ]  # fmt: skip
            assert gain["difference"].item() == pytest.approx(value - base, abs=1e-6)
            assert gain["low"].item() <= gain["difference"].item() <= gain["high"].item()
            assert (gain["p"].item() < 0.05) == (gain["low"].item() * gain["high"].item() > 0)
            bounds = gain[["low", "high"]].iloc[0].tolist()
            sign = 1 if metric == "roc_auc" else -1
            assert gain["verdict"].item() == verdict(*bounds, sign, MARGINS[metric])


def test_numbers_beside_the_scores(measured) -> None:  # type: ignore[no-untyped-def]
    _, estimates, differences = measured
    macro = estimates[(estimates["scope"] == "macro") & (estimates["metric"] == "roc_auc")]
    told = macro[macro["kind"] == "personal"].set_index("size")
    assert told["n_patients"].to_dict() == {"10": 10, "33": 33, "all": 33}
    assert told["n_countries"].to_dict() == {"10": 2, "33": 1, "all": 2}
    assert set(macro["kind"]) == {"global", "personal", "local", "took_part"}
    assert differences.loc[differences["scope"] == "macro", "n_better"].between(0, 2).all()


def test_a_country_is_expected_from_all_others(predictions: pd.DataFrame) -> None:
    """Random effects over the other countries' values of the model of all, redone."""
    test = predictions[predictions["split"] == "test"]
    federated = test[(test["paradigm"] == "federated") & (test["strategy"] == "fedavg")]
    alone = test[(test["paradigm"] == "adaptive") & (test["strategy"] == "fedavg")]
    parts = [rows.assign(kind=kind, size="0", n_patients=0)
             for kind, rows in (("took_part", federated), ("global", alone))]  # fmt: skip
    table = pd.concat(parts, ignore_index=True).assign(strategy="fedavg")
    estimates, _ = measure(table, test, 200, 0, MARGINS)
    found = evaluate(
        table.sort_values(["kind", "seed", "country", "patient_id", "episode_id"]),
        ("pooled", "country"), draw_patients(table, 200, 0), names=("kind",),
    )  # fmt: skip
    drawn = {c: own for (metric, scope, c), own in found.values["took_part",].items()
             if (metric, scope) == ("log_loss", "country")
             and found.patients["country", c] >= MIN_PATIENTS}  # fmt: skip
    values = {c: (own[0], own[1:].std(ddof=1)) for c, own in drawn.items()}
    assert len(values) >= 4, "three others at least"
    own = estimates[(estimates["size"] == "0") & (estimates["metric"] == "log_loss")]
    further = own[(own["scope"] == FURTHER) & (own["kind"] == "took_part")].iloc[0]
    effects = combine(*map(np.array, zip(*values.values(), strict=True)))
    assert further[["value", "low", "high"]].tolist() == pytest.approx(
        [effects.mean, effects.low, effects.high]
    )
    country = own[(own["scope"] == "country") & (own["kind"] == "global")].set_index("country")
    for name in values:
        others = combine(*map(np.array, zip(*(v for c, v in values.items() if c != name),
                                            strict=True)))  # fmt: skip
        se = found.values["global",]["log_loss", "country", name][1:].std(ddof=1)
        half = t.isf(0.025, len(values) - 3) * np.sqrt(others.tau**2 + others.se**2 + se**2)
        told = country.loc[name, ["expected_low", "expected_high"]].tolist()
        assert told == pytest.approx([others.mean - half, others.mean + half])
    assert estimates.loc[estimates["kind"] == "took_part", "expected_low"].isna().all()


def test_equal_predictions_differ_by_nothing(predictions: pd.DataFrame) -> None:
    table = table_of(predictions)
    same = table[(table["kind"] != "local") & table["size"].isin(["0", "10"])]
    alone = same[same["kind"] == "global"].set_index(["seed", "episode_id"])["probability"]
    of_rows = alone.loc[pd.MultiIndex.from_frame(same[["seed", "episode_id"]])].to_numpy()
    personal = same["kind"] == "personal"
    same = same.assign(probability=np.where(personal, of_rows, same["probability"]))
    differences = measure(same, predictions[predictions["split"] == "test"], 200, 0, MARGINS)[1]
    own = differences[(differences["kind"] == "personal") & (differences["reference"] == "global")]
    assert len(own)
    assert (own["difference"] == 0).all()
    assert (own[["low", "high"]].fillna(0) == 0).all().all()
    assert pays_from(differences) is None


def test_a_report_of_another_run_is_refused(predictions: pd.DataFrame) -> None:
    test = predictions[predictions["split"] == "test"]
    table = table_of(predictions)
    told = r"are not those of the federated model \(fedavg\)"
    with pytest.raises(InputError, match=told):
        measure(table, test[test["country"] != "Australia"], 200, 0, MARGINS)
    moved = test["probability"].where(test["paradigm"] != "federated", test["probability"] * 0.99)
    with pytest.raises(InputError, match=told):
        measure(table, test.assign(probability=moved), 200, 0, MARGINS)


def gains(**bounds: tuple[float, float]) -> pd.DataFrame:
    """Verdicts on the gain in log-loss by size (n10, n20, all), from intervals."""
    return pd.DataFrame(
        [
            ("personal", "global", size.removeprefix("n"), "macro", "log_loss",
             verdict(*interval, -1))
            for size, interval in bounds.items()
        ],
        columns=["kind", "reference", "size", "scope", "metric", "verdict"],
    )  # fmt: skip


GOOD, OPEN, BAD, NONE = (-0.2, -0.1), (-0.1, 0.1), (0.1, 0.2), (np.nan, np.nan)


@pytest.mark.parametrize(
    ("bounds", "size"),
    [
        ({"n10": OPEN, "n20": GOOD, "all": GOOD}, "20"),
        ({"n10": GOOD, "n20": OPEN, "all": GOOD}, "all"),
        ({"n10": GOOD, "n20": GOOD, "all": OPEN}, None),
        ({"n10": GOOD, "n20": GOOD, "all": BAD}, None),
        ({"n10": GOOD, "n20": GOOD, "all": GOOD}, "10"),
        ({"n10": GOOD, "n20": NONE, "all": GOOD}, "all"),
        ({"n10": NONE, "n20": NONE, "all": NONE}, None),
    ],
)
def test_from_when_on_a_personal_model_pays(
    bounds: dict[str, tuple[float, float]], size: object
) -> None:
    assert pays_from(gains(**bounds)) == size
