"""A drill: the trainings of a simulation with masked sums come to the same bits as without."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from federation_examples import tables
from ms_pfl.errors import InputError
from ms_pfl.paradigms import Training
from ms_pfl.training.simulation import Outcome
from paradigm_examples import HISTORY, Study, parameters

LOSSES = ["train_loss", "validation_loss"]
SIZES = {"AU": 30, "BE": 60, "CZ": 15, "DK": 30}
_DONE: dict[bool, Study] = {}


def study(*, secure: bool) -> Study:
    """Four countries, of whom three train in a round, with masks or without."""
    if secure not in _DONE:
        told = parameters(
            federation={
                "rounds": 3, "patience": 2, "client_fraction": 0.75, "secure_sums": secure,
            },
            local={"epochs": 2, "patience": 2, "epochs_without_validation": 2},
            fine_tuned={"epochs": 2, "patience": 2, "learning_rate_factor": 0.1,
                        "epochs_without_validation": 0},
            centralized={"epochs": 2, "patience": 3, "batch_size": 16},
        )  # fmt: skip
        _DONE[secure] = Study(told=told, tables=tables(SIZES, seeds=(0,)))
    return _DONE[secure]


def weighted(history: pd.DataFrame, loss: str, rows: str) -> pd.Series:
    """The mean loss over all countries, by round."""
    own = history[history[rows] > 0]
    total = (own[loss] * own[rows]).groupby(own["round"]).sum()
    mean: pd.Series = total / own.groupby("round")[rows].sum()
    return mean


@pytest.mark.parametrize(
    "training",
    [
        "local.none",
        "federated.fedavg",
        "federated.fedadam",
        "fine_tuned.fedavg",
        "adaptive.fedavg",
        "proximal_copy.fedavg",
        "scaffold.fedavg",
        "federated.logistic",
        "adaptive.logistic",
        "federated.trees",
        "adaptive.trees",
    ],
)
def test_masked_sums_equal_plain_sums(training: str) -> None:
    plain, masked = (
        study(secure=secure).outcome(*Training(*training.split("."))) for secure in (False, True)
    )
    assert masked.models.keys() == plain.models.keys()
    for name, array in plain.models.items():  # the stamp among them
        assert masked.models[name].tobytes() == array.tobytes(), name
    pd.testing.assert_frame_equal(masked.predictions, plain.predictions, check_exact=True)
    _check_history(plain, masked)


def _check_history(plain: Outcome, masked: Outcome) -> None:
    """All but losses is the same; of those the means over all countries are."""
    same = [name for name in HISTORY if name not in ("seconds", "bytes_up", *LOSSES)]
    pd.testing.assert_frame_equal(masked.history[same], plain.history[same], check_exact=True)
    more = masked.history["bytes_up"] - plain.history["bytes_up"]  # two sums of log-losses
    assert set(more) <= {0, 288}
    for loss, rows in zip(LOSSES, ("n_train", "n_validation"), strict=True):
        np.testing.assert_allclose(
            weighted(masked.history, loss, rows), weighted(plain.history, loss, rows), rtol=1e-12
        )


def test_of_one_country_the_server_knows_no_loss() -> None:
    history = study(secure=True).outcome("federated", "fedavg").history
    for loss, rows in zip(LOSSES, ("n_train", "n_validation"), strict=True):
        told = history[history[rows] > 0].groupby("round")[loss].nunique()
        assert (told == 1).all()


def test_two_countries_cannot_mask(capsys: pytest.CaptureFixture[str]) -> None:
    told = parameters(federation={"rounds": 1, "patience": None, "client_fraction": 1.0,
                                  "secure_sums": True})  # fmt: skip
    two = Study(told=told, tables=tables({"AU": 30, "BE": 60}, seeds=(0,)))
    with pytest.raises(InputError, match="a sum of 2 participants cannot be masked"):
        two.outcome("federated", "fedavg")


def test_two_countries_in_a_round_cannot_mask() -> None:
    told = parameters(federation={"rounds": 1, "patience": None, "client_fraction": 0.5,
                                  "secure_sums": True})  # fmt: skip
    four = Study(told=told, tables=tables(SIZES, seeds=(0,)))
    with pytest.raises(InputError, match="client_fraction lets 2 sites train in a round"):
        four.outcome("federated", "fedavg")


def test_rounds_are_not_chosen_by_what_is_no_sum() -> None:
    protocol = {"selection": "test", "split_unit": "patient", "scaling": "federated",
                "personal_arrays": "kept", "proximal_term": True,
                "fine_tuning_rows": "same"}  # fmt: skip
    told = parameters(
        federation={"rounds": 1, "patience": None, "client_fraction": 1.0, "secure_sums": True},
        protocol=protocol,
    )
    with pytest.raises(InputError, match="cannot be chosen by ROC-AUC"):
        Study(told=told, tables=tables(SIZES, seeds=(0,))).outcome("federated", "fedavg")
