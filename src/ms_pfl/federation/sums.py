"""Sums over the sites' training rows: what a site answers, and how the server adds it up.

Inputs and logistic regression need no more of a site than sums over its rows, and an average no
more than the sum of what is averaged, times the rows. All of them travel as fixed-point integers
(:mod:`ms_pfl.federation.fixed_point`), so that the order of the sites changes no bit.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError, NamedGrid, ask_and_read
from ms_pfl.federation.fixed_point import MODEL, FixedPoint, TooLargeError, Words, add
from ms_pfl.federation.flower import ConfigRecord, RecordDict, received, to_record, views
from ms_pfl.federation.masked_replies import check_alike, questions_in
from ms_pfl.federation.messages import (
    CLUSTERS,
    FIRST_CELLS,
    HISTOGRAMS,
    LABELS,
    LOGISTIC,
    MIXED,
    SCALER,
    SECOND_CELLS,
)
from ms_pfl.federation.replies import check_records
from ms_pfl.federation.sum_replies import SumReply, format_of, sum_forms
from ms_pfl.learning import encoding, logistic, mixed
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.scaler import ScalerSums
from ms_pfl.personalization.method import SHARED

SUMS = "sums"
"""The record of an answer."""
NAMES = {
    SCALER: frozenset({"n", "sum", "sum-of-squares"}),
    FIRST_CELLS: frozenset({"counts"}),
    SECOND_CELLS: frozenset({"counts", "missing-together"}),
    LOGISTIC: frozenset({"gradient", "hessian", "loss", "n"}),
    MIXED: frozenset({"gradient", "hessian", "loss", "n", "square"}),
    CLUSTERS: frozenset({"hessian", "meat", "n"}),
    LABELS: frozenset({"labels"}),
    HISTOGRAMS: frozenset({"histogram", "loss"}),
}
"""What a site sends in answer to each question."""


def sums_of_rows(
    question: str,
    model: Arrays,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    patients: NDArray[np.int32],
) -> Arrays:
    """Return a site's answer to a question, arrays float64.

    Args:
        question: one of :data:`NAMES`.
        model: that the question is about: a regression, or the edges of cells; else empty.
        x: features, shape ``(rows, features)``; NaN = missing but for a regression.
        y: labels 0/1, shape ``(rows,)``.
        patients: number of each row's patient, shape ``(rows,)``.

    Raises:
        ValueError: there is no such question.
    """
    match question:
        case "scaler":
            own = ScalerSums.of(x)
            return {"n": own.n, "sum": own.total, "sum-of-squares": own.squares}
        case "first-cells":
            return {"counts": encoding.first_counts(x)}
        case "second-cells":
            counts = encoding.second_counts(x, model["edges"])
            return {"counts": counts, "missing-together": encoding.missing_together(x)}
        case "logistic":
            return logistic.sums(model, x, y)
        case "mixed":
            return mixed.sums(model, x, y)
        case "clusters":
            return logistic.clustered_sums(model, x, y, patients)
    # those of trees are answered where the trees are kept, see ms_pfl.federation.boosting
    raise ValueError(f"there is no question {question!r}; there are: {', '.join(NAMES)}")


def answer_of(question: str, sums: Arrays, sites: int) -> dict[str, Words]:
    """Return a site's answer as it travels.

    Args:
        question: one of :data:`NAMES`.
        sums: of :func:`sums_of_rows`.
        sites: that are asked.

    Raises:
        TooLargeError: a sum is so large that the total could overflow.
    """
    return _encoded(format_of(question), sums, sites, "correct the values of that feature")


def sum_over_sites(
    grid: NamedGrid,
    seed: int,
    question: str,
    model: Arrays | None = None,
    *,
    width: int | None = None,
    scaled: bool = False,
    trees: TreesParameters | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the sum of all sites' answers to a question: the same bits in any order of sites.

    Args:
        grid: the sites.
        seed: whose splits are asked about.
        question: one of :data:`NAMES`.
        model: that the question is about, if any.
        width: columns of the rows that it is about, where they are not the features.
        scaled: whether the sites' features are scaled together.
        trees: settings of the trees, for the questions about some.

    Raises:
        ClientError: a site failed or did not answer, or its answer cannot be used.
        InputError: a site's answer is so large that the total could overflow.
    """
    nodes = grid.node_ids(seed)
    told = {"seed": seed, "question": question, "sites": len(nodes), **grid.masked_over(nodes)}
    content = RecordDict({"config": ConfigRecord(told)})
    if model is not None:
        content[SHARED] = to_record(model)

    rows = {node: grid.rows.of(node, "train") for node in nodes}
    known = [own for own in rows.values() if own is not None]
    every = sum(known) if len(known) == len(nodes) else None
    of_scaled = every if scaled else None
    columns = width or grid.n_features
    answers: dict[int, Mapping[str, Words]]
    if not grid.secure:

        def read(node_id: int, reply: RecordDict) -> dict[str, Words]:
            check_records(reply, (SUMS,), metrics=False)
            sent = reply.array_records[SUMS]
            own = SumReply(sent, columns, rows[node_id], len(nodes), of_scaled)
            check_sums(question, own, model or {}, trees)
            return views(sent)

        answers = ask_and_read(grid, "query.sums", dict.fromkeys(nodes, content), read)
        return _total(format_of(question), list(answers.values()))

    questions: dict[str, dict[str, str]] = {}
    forms = sum_forms(question, columns, model, trees)

    def read_masked(node_id: int, reply: RecordDict) -> dict[str, Words]:
        check_records(reply, (SUMS,), metrics=False, masked=True)
        questions[grid.name_of(node_id)] = questions_in(reply, (SUMS,))
        return received(reply.array_records[SUMS], forms, finite=False)

    answers = ask_and_read(grid, "query.sums", dict.fromkeys(nodes, content), read_masked)
    check_alike(questions)
    added = {name: add(own[name] for own in answers.values()) for name in answers[nodes[0]]}
    try:
        total = SumReply(to_record(added), columns, every, 1, of_scaled, parts=len(nodes))
        check_sums(question, total, model or {}, trees)
    except InputError as error:
        raise ClientError(
            f"the total of the masked sums of {len(nodes)} sites cannot be used: {error}"
        ) from None
    return {name: format_of(question).decode(words) for name, words in added.items()}


def check_sums(question: str, told: SumReply, model: Arrays, trees: TreesParameters | None) -> None:
    """See that the reply to a question holds sums that so many rows can give.

    Args:
        question: one of :data:`NAMES`.
        told: the reply.
        model: that the question is about, if any.
        trees: settings of the trees, for the questions about some.

    Raises:
        ArrayError: an array is not what it has to be.
        ReplyError: the numbers are no sums over so many rows.
    """
    match question:
        case "scaler":
            told.scaler()
        case "logistic":
            told.logistic(of_zeros=not any(array.any() for array in model.values()))
        case "mixed":
            told.mixed(variance=model[mixed.VARIANCE])
        case "clusters":
            told.clusters()
        case "labels":
            told.labels()
        case "histograms":
            assert trees is not None, "the question is about some"
            told.histograms(model, trees)
        case _:
            told.cells(second=question == SECOND_CELLS)


def times_rows(arrays: Arrays, rows: int, sites: int) -> dict[str, Words]:
    """Return arrays that are to be averaged as a site sends them: times its rows.

    Args:
        arrays: float32 or float64, of any shape.
        rows: that the site trained on, its weight in the mean.
        sites: that take part.

    Raises:
        TooLargeError: a value is so large that the total could overflow.
    """
    return _encoded(MODEL, arrays, sites, "lower the learning rate of this training", rows)


def mean_over_rows(replies: Iterable[RecordDict], record: str) -> dict[str, NDArray[np.float64]]:
    """Return the mean of what sites sent with :func:`times_rows`: the same bits in any order.

    Args:
        replies: with the record, and ``num-examples`` among their metrics.
        record: its name.
    """
    replies = list(replies)
    rows = sum(int(reply["metrics"]["num-examples"]) for reply in replies)
    total = _total(MODEL, [views(reply[record]) for reply in replies])
    return {name: values / rows for name, values in total.items()}


def _encoded(
    form: FixedPoint, arrays: Arrays, sites: int, remedy: str, times: int = 1
) -> dict[str, Words]:
    flat = np.concatenate([np.ravel(values) for values in arrays.values()])
    try:
        words = form.encode(flat, sites, times)  # all in one step, which is quicker
    except TooLargeError:
        for name, values in arrays.items():
            try:
                form.encode(values, sites, times)
            except TooLargeError as error:
                raise TooLargeError(f"{name}: {error}; {remedy}") from None
        raise
    found, end = {}, 0
    for name, values in arrays.items():
        begin, end = end, end + np.size(values)
        found[name] = words[:, begin:end].reshape(form.words, *np.shape(values))
    return found


def _total(
    form: FixedPoint, parts: Sequence[Mapping[str, Words]]
) -> dict[str, NDArray[np.float64]]:
    return {name: form.decode(add(own[name] for own in parts)) for name in parts[0]}
