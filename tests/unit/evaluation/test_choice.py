"""What serves new patients is chosen on validation rows alone, and towards the simpler."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.evaluation.choice import SERVED, Choice, choose, serve, simplicity
from ms_pfl.evaluation.ensemble import combine_candidates
from ms_pfl.evaluation.recalibration import recalibrate
from ms_pfl.evaluation.scoring import check_predictions
from ms_pfl.paradigms import Training

# noise of a model's logits: the more, the worse
LIKE = {"federated": 0.5, "fine_tuned": 0.5, "adaptive": 0.5, "local": 2.0}


def fits(
    noise: dict[str, float], patients: int = 150, shift: dict[str, float] | None = None
) -> pd.DataFrame:
    """Two seeds of three countries; ``shift``: how far the federated logits of one are off."""
    random = np.random.default_rng(8)
    tables = []
    for country in ("A", "B", "C"):
        people = np.repeat(np.arange(2 * patients), 2)
        z = random.normal(-1, 1, len(people))
        label = (random.random(len(people)) < 1 / (1 + np.exp(-z))).astype(np.int8)
        for seed in (0, 1):
            for paradigm, sd in noise.items():
                off = (shift or {}).get(country, 0.0) if paradigm == "federated" else 0.0
                own = z + off + random.normal(0, sd, len(people))
                tables.append(
                    pd.DataFrame(
                        {
                            "paradigm": paradigm,
                            "strategy": "none" if paradigm == "local" else "fedavg",
                            "seed": seed,
                            "country": country,
                            "patient_id": [f"p{i}" for i in people],
                            "episode_id": [f"{country}{i}" for i in range(len(people))],
                            "split": np.where(people < patients, "validation", "test"),
                            "label": label,
                            "probability": 1 / (1 + np.exp(-own)),
                        }
                    )
                )
    return pd.concat(tables, ignore_index=True)


def test_of_models_that_are_as_good_the_simplest_serves() -> None:
    table = fits({"federated": 0.0, "local": 2.0})
    federated = table[table["paradigm"] == "federated"]
    alike = [federated.assign(paradigm=name) for name in ("fine_tuned", "adaptive")]
    found = choose(pd.concat([table, *alike], ignore_index=True))
    assert (found.paradigm, found.strategy) == ("federated", "fedavg")
    assert found.members == (found.shared,) == ("federated.fedavg",)
    assert found.corrected() == []
    assert "within one standard error" in found.why[0]


def test_what_is_better_beyond_a_standard_error_serves() -> None:
    found = choose(fits({"federated": 1.5, "fine_tuned": 0.0, "adaptive": 1.5, "local": 2.0}))
    assert (found.paradigm, found.strategy) == ("fine_tuned", "fedavg")
    assert found.why[0].startswith("The predictor serves Fine-tuned FedAvg, chosen of 6 models on ")
    assert found.sites == {}


def test_countries_that_are_off_are_recalibrated() -> None:
    found = choose(fits({"federated": 0.0, "local": 2.0}, shift={"A": 1.0, "B": -1.0, "C": 0.0}))
    assert found.paradigm == "recalibrated"
    assert found.members == ("federated.fedavg",)
    assert found.corrected() == ["", "A", "B", "C"]


def test_countries_whose_patients_say_so_get_their_own() -> None:
    table = fits({"federated": 0.0, "local": 1.0})
    of_b = (table["country"] == "B") & (table["paradigm"] == "federated")
    wrong = np.random.default_rng(1).normal(0, 4, int(of_b.sum()))
    table.loc[of_b, "probability"] = 1 / (1 + np.exp(-wrong))
    found = choose(table)
    assert (found.paradigm, found.strategy) == ("local", "none")
    assert found.sites == {"A": ("federated", "fedavg"), "C": ("federated", "fedavg")}
    assert found.members == ("federated.fedavg", "local.none")
    assert found.weights_of(0, "A") == (1.0, 0.0)
    assert found.weights_of(1, "B") == found.weights_of(1, "unknown") == (0.0, 1.0)
    assert found.why[-1].startswith("Federated FedAvg serves C: on its 150 validation patients")

    served = serve(found, table, recalibrate(table), combine_candidates(table))
    assert set(served["paradigm"]) == {SERVED}
    key = ["seed", "country", "episode_id"]
    of_kind = np.where(table["country"] == "B", "local", "federated")
    expected = table[table["paradigm"] == of_kind].set_index(key)["probability"].sort_index()
    pd.testing.assert_series_equal(served.set_index(key)["probability"].sort_index(), expected)

    first = table["patient_id"].isin([f"p{i}" for i in range(40)])
    few = table[(table["country"] != "A") | first | (table["split"] == "test")]
    assert set(choose(few).sites) == {"C"}


def test_poisoned_test_rows_change_nothing(predictions: pd.DataFrame) -> None:
    test = predictions["split"] == "test"
    random = np.random.default_rng(2)
    poisoned = predictions.assign(
        label=predictions["label"].where(~test, 1 - predictions["label"]),
        probability=predictions["probability"].where(~test, random.random(len(test))),
    )
    assert choose(poisoned) == choose(predictions)
    assert choose(predictions[~test]) == choose(predictions)
    shuffled = predictions.sample(frac=1, random_state=3)
    assert choose(shuffled) == choose(predictions)


@pytest.mark.parametrize(
    ("named", "members"),
    [
        (("adaptive", "fedprox"), ("adaptive.fedprox",)),
        (("local", "fedavg"), ("local.none",)),
        (("recalibrated", "fedavg"), ("federated.fedavg",)),
        (("ensemble", "fedavg"), ("federated.fedavg", "fine_tuned.fedavg", "adaptive.fedavg")),
    ],
)
def test_a_paradigm_that_is_named_serves(
    predictions: pd.DataFrame, named: tuple[str, str], members: tuple[str, ...]
) -> None:
    found = choose(predictions, *named)
    assert found.paradigm == named[0]
    assert found.members == members
    assert found.why[0].endswith("as prediction.paradigm is set.")
    made = recalibrate(predictions), combine_candidates(predictions)
    served = serve(found, predictions, *made)
    check_predictions(pd.concat([predictions, served], ignore_index=True))
    for of_seed in found.weights.values():
        assert all(sum(own) == pytest.approx(1) for own in of_seed.values())
    assert Choice.model_validate(found.model_dump(mode="json")) == found


def test_a_paradigm_that_was_not_trained_is_refused(predictions: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"adaptive\.fedadam is not trained in this run"):
        choose(predictions, "adaptive", "fedadam")
    with pytest.raises(InputError, match="chooses on validation patients"):
        choose(predictions[predictions["split"] == "test"])


def test_the_order_of_simplicity() -> None:
    names = [
        ("federated", "logistic"), ("federated", "trees"), ("federated", "fedavg"),
        ("recalibrated", "fedavg"), ("fine_tuned", "logistic"), ("adaptive", "fedavg"),
        ("local", "none"), ("ensemble", "fedavg"),
    ]  # fmt: skip
    keys = [simplicity(Training(*name)) for name in names]
    assert keys == sorted(keys)
