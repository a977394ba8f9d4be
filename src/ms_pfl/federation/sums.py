"""Sums over the sites' training rows: what a site answers, and how the server adds it up.

Scaler and logistic regression need no more of a site than sums over its rows. The server adds the
sites' answers in the order of their names.
"""

import numpy as np
from numpy.typing import NDArray

from ms_pfl.federation.exchange import NamedGrid, ask
from ms_pfl.federation.flower import ConfigRecord, RecordDict, to_arrays, to_record
from ms_pfl.federation.scaler import Scaler, ScalerSums
from ms_pfl.learning import logistic
from ms_pfl.learning.networks import Arrays

SUMS = "sums"
"""The record of an answer."""
SCALER, LOGISTIC = "scaler", "logistic"
NAMES = {
    SCALER: frozenset({"n", "sum", "sum-of-squares"}),
    LOGISTIC: frozenset({"gradient", "hessian", "loss", "n"}),
}
"""What a site sends in answer to each question."""


def sums_of_rows(
    question: str, model: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]
) -> Arrays:
    """Return a site's answer to a question, arrays float64.

    Args:
        question: one of :data:`NAMES`.
        model: that the question is about; empty for the scaler.
        x: features, shape ``(rows, features)``; NaN = missing for the scaler alone.
        y: labels 0/1, shape ``(rows,)``.

    Raises:
        ValueError: there is no such question.
    """
    match question:
        case "scaler":
            own = ScalerSums.of(x)
            return {"n": own.n, "sum": own.total, "sum-of-squares": own.squares}
        case "logistic":
            return logistic.sums(model, x, y)
    raise ValueError(f"there is no question {question!r}; there are: {', '.join(NAMES)}")


def sum_over_sites(
    grid: NamedGrid, seed: int, question: str, model: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Return the sum of all sites' answers to a question.

    Args:
        grid: the sites.
        seed: whose splits are asked about.
        question: one of :data:`NAMES`.
        model: that the question is about, if any.

    Raises:
        ClientError: a site failed or did not answer.
    """
    content = RecordDict({"config": ConfigRecord({"seed": seed, "question": question})})
    if model is not None:
        content["arrays"] = to_record(model)
    answers = ask(grid, "query.sums", dict.fromkeys(grid.node_ids(seed), content))
    parts = [to_arrays(answer[SUMS]) for answer in answers.values()]
    return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}


def federated_scaler(grid: NamedGrid, seed: int) -> Scaler:
    """The scaler of all countries' training rows, from the sums that each country sends."""
    total = sum_over_sites(grid, seed, SCALER)
    return Scaler.from_sums([ScalerSums(total["n"], total["sum"], total["sum-of-squares"])])
