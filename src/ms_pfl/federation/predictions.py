"""The end of a fit: every client predicts, and tells what the server may know of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ms_pfl.federation.exchange import ClientError, NamedGrid, ask_and_read
from ms_pfl.federation.fixed_point import ROWS, Words, add
from ms_pfl.federation.flower import ArrayRecord, ConfigRecord, Form, RecordDict, received
from ms_pfl.federation.masked_replies import check_alike, questions_in
from ms_pfl.federation.partitions import POOLED, SplitName
from ms_pfl.federation.replies import (
    KnownRows,
    ReplyError,
    check_records,
    prediction_metrics,
    probabilities,
)

SCORES = "scores"
"""The record of a masked reply with sums over the rows of each split."""
SUMMED = ("n_positive", "log_loss", "brier")
"""The numbers in it: rows with the outcome, and both scores times the rows."""
SCORED_SPLITS: tuple[SplitName, ...] = ("validation", "test")
_FORMS: dict[str, Form] = {
    split: Form("uint64", (ROWS.words, len(SUMMED))) for split in SCORED_SPLITS
}


@dataclass(frozen=True)
class Finished:
    """What the clients told at the end of a fit.

    ``probabilities`` by country of its validation and test rows, in the order of its rows, where
    the clients tell them; else ``metrics`` by country, which is all that a real site tells. Where
    sums are masked, those of :data:`SUMMED` are known of all countries together, as ``pooled``.
    """

    probabilities: dict[str, dict[str, np.ndarray]]
    metrics: dict[str, dict[str, int | float]]


def predict(
    grid: NamedGrid, seed: int, arrays: ArrayRecord | None, best_round: int, keep_as: str
) -> Finished:
    """Have every client predict its validation and test rows.

    Args:
        grid: the clients.
        seed: of the fit.
        arrays: the shared ones; None: each client uses the model that it trained itself.
        best_round: whose private state is used.
        keep_as: name of the training; a real site keeps model and predictions under it.

    Raises:
        ClientError: a client failed, or its reply cannot be used.
    """
    nodes = grid.node_ids(seed)
    masked = grid.secure and not grid.tells_probabilities
    participants = grid.masked_over(nodes) if masked else {}
    config = ConfigRecord({"best-round": best_round, "keep-as": keep_as, **participants})
    content = RecordDict({"config": config})
    if arrays is not None:
        content["arrays"] = arrays
    contents = dict.fromkeys(nodes, content)
    if grid.tells_probabilities:
        own = ask_and_read(
            grid, "query.predict", contents, lambda i, reply: probabilities(reply, i, grid.rows)
        )
        return Finished({grid.nodes[i].country: found for i, found in own.items()}, {})
    questions: dict[str, dict[str, str]] = {}
    sums: list[dict[str, Words]] = []

    def read(node_id: int, reply: RecordDict) -> dict[str, int | float]:
        if not masked:
            return prediction_metrics(reply, node_id, grid.rows)
        check_records(reply, (SCORES,), metrics=True, masked=True)
        questions[grid.name_of(node_id)] = questions_in(reply, (SCORES,))
        sums.append(received(reply.array_records[SCORES], _FORMS, finite=False))
        rest = RecordDict({"metrics": reply["metrics"]})
        return prediction_metrics(rest, node_id, grid.rows)

    told = ask_and_read(grid, "query.predict", contents, read)
    check_alike(questions)
    metrics = {grid.nodes[i].country: found for i, found in told.items()}
    if masked:
        metrics[POOLED] = _together(sums, nodes, grid.rows)
    return Finished({}, metrics)


def score_sums(n: int, scores: Sequence[float], sites: int) -> Words:
    """Return the sums of a split's scores as a site sends them, in the order of :data:`SUMMED`.

    Args:
        n: rows of the split.
        scores: rows with the outcome, then means over the rows; heeded where there are some.
        sites: that are added up.

    Raises:
        InputError: a number is so large that the total could overflow.
    """
    if not n:
        return ROWS.encode(np.zeros(len(SUMMED)), sites)
    n_positive, log_loss, brier = scores
    return ROWS.encode(np.array([n_positive, n * log_loss, n * brier]), sites)


def _together(
    sums: list[dict[str, Words]], nodes: Iterable[int], rows: KnownRows
) -> dict[str, int | float]:
    """Return the metrics of all sites together, from their masked sums.

    Raises:
        ClientError: they are no such sums.
    """
    found: dict[str, int | float] = {}
    known = list(nodes)
    for split in SCORED_SPLITS:
        n = sum(rows.of(node, split) or 0 for node in known)
        total = add(own[split] for own in sums)
        values = [ROWS.exactly(total[:, place]) for place in range(len(SUMMED))]
        try:
            found |= _checked(split, n, *values)
        except ReplyError as error:
            raise ClientError(
                f"the total of the masked scores of {len(known)} sites cannot be used: {error}"
            ) from None
    return found


def _checked(
    split: str, n: int, n_positive: float, log_loss: float, brier: float
) -> dict[str, int | float]:
    if not (0 <= n_positive <= n and n_positive == int(n_positive)):
        raise ReplyError(f"{split}: the rows with the outcome are no part of {n} rows")
    if not (0 <= brier <= n and log_loss >= 0):
        raise ReplyError(f"{split}: log-loss or Brier score are out of their ranges")
    return {
        f"{split}/n_episodes": n,
        f"{split}/n_positive": int(n_positive),
        f"{split}/roc_auc": float("nan"),
        f"{split}/log_loss": log_loss / n if n else float("nan"),
        f"{split}/brier": brier / n if n else float("nan"),
    }
