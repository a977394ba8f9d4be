"""How many models a client fits alone, what it is asked, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from federation_examples import data_of, nodes_of, prepared, settings
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ask
from ms_pfl.federation.flower import ConfigRecord, RecordDict, to_record
from ms_pfl.federation.from_sums import FromSums
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.personalization.method import SHARED

TOLD = LogisticParameters(
    ridge=1.0, steps=7, tolerance=1e-8, local_ridges=(3.0, 1.0), strengths=(10.0, 5.0, 1.0)
)


def told(paradigm: str, **change: object) -> ClientSettings:
    own = TOLD.model_copy(update=change)
    return settings(paradigm).model_copy(update={"logistic": own})


def fitted(settings: ClientSettings) -> FromSums:
    found = learner_from_sums(settings)
    assert found is not None
    return found


def test_epochs_are_steps_or_strengths() -> None:
    """With validation rows, and without."""
    assert fitted(told("centralized")).epochs() == (7, 7)
    assert fitted(told("local")).epochs() == (2, 1)
    assert fitted(told("local", local_ridges=())).epochs() == (1, 1)
    assert fitted(told("fine_tuned")).epochs() == (3, 0)
    assert fitted(told("fine_tuned", strengths=())).epochs() == (0, 0)


def test_what_is_mixed_and_what_is_asked() -> None:
    assert not settings("adaptive").mixed, "a network"
    assert learner_from_sums(settings("adaptive")) is None
    assert told("adaptive").mixed
    assert fitted(told("adaptive")).questions == ("mixed",)
    for paradigm in ("centralized", "federated", "local", "fine_tuned"):
        assert not told(paradigm).mixed
        assert fitted(told(paradigm)).questions == ("logistic", "clusters")


def reason(paradigm: str, kind: str, config: dict[str, object], model: object = None) -> str:
    """Why a client does not answer."""
    data = data_of({"AU": 30})
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told(paradigm))
        content = RecordDict({"config": ConfigRecord(config)})  # type: ignore[arg-type]
        if model is not None:
            content[SHARED] = to_record(model)  # type: ignore[arg-type]
        with pytest.raises(InputError) as error:
            ask(grid, kind, {1: content})
    return str(error.value)


ALONE = {
    "epochs": 3, "patience": 1, "epochs-without-validation": 1, "start-is-candidate": True,
    "reply-with-arrays": False,
}  # fmt: skip


def test_a_model_to_start_from_is_there_where_it_has_to_be() -> None:
    assert "needs a model to start from" in reason("fine_tuned", "train.personalize", ALONE)
    given = reason("local", "train.personalize", ALONE, logistic.start(3))
    assert "starts from no model" in given


@pytest.mark.parametrize(
    ("paradigm", "question"),
    [("adaptive", "logistic"), ("adaptive", "clusters"), ("federated", "mixed")],
)
def test_sums_of_another_regression_are_refused(paradigm: str, question: str) -> None:
    model = mixed.start(mixed.intercepts(3)) if paradigm == "adaptive" else logistic.start(3)
    asked = {"question": question, "seed": 0, "sites": 1}
    found = reason(paradigm, "query.sums", asked, model)
    assert f"this training is not fitted by '{question}'" in found


def test_a_variance_below_zero_is_refused() -> None:
    model = {**mixed.start(mixed.intercepts(3)), "variance": -np.ones(4)}
    asked = {"question": "mixed", "seed": 0, "sites": 1}
    assert "is below 0" in reason("adaptive", "query.sums", asked, model)
    model["variance"] = np.array([1.0, 0.0, 0.0, 1.0])
    found = reason("adaptive", "query.sums", asked, model)
    assert "by the settings sites differ in the intercept alone" in found
