"""Masked answers through the ClientApp: who is refused, and what the server makes of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from federation_examples import data_of, federate, initial, nodes_of, prepared, settings
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError, ask
from ms_pfl.federation.fixed_point import ROWS
from ms_pfl.federation.flower import ConfigRecord, RecordDict, to_record
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.masked_replies import check_alike, questions_in, total_loss
from ms_pfl.federation.masking import loss_words
from ms_pfl.federation.messages import SCALER
from ms_pfl.federation.replies import MASKED, ReplyError
from ms_pfl.federation.sums import sum_over_sites

NAMES = ["AU", "BE", "CZ"]
SIZES = {"AU": 30, "BE": 60, "CZ": 15, "DK": 30}


def grid_of(sizes: dict[str, int]) -> LocalGrid:
    data = data_of(sizes)
    return LocalGrid(data, nodes_of(data), secure=True)


def ask_sums(grid: LocalGrid, nodes: list[int], names: list[str], **more: object) -> None:
    told = {"seed": 0, "question": SCALER, "sites": len(nodes), **more}
    if names:
        told["participants"] = names
    content = RecordDict({"config": ConfigRecord(told)})  # type: ignore[arg-type]
    ask(grid, "query.sums", dict.fromkeys(nodes, content))


def test_a_client_keeps_to_the_participants_of_its_run() -> None:
    grid = grid_of(SIZES)
    every = sorted(SIZES)
    sum_over_sites(grid, 0, SCALER)
    ask_sums(grid, [1, 2, 3, 4], every)
    with pytest.raises(InputError, match="second set of participants in one run"):
        ask_sums(grid, [1, 2, 3], NAMES)
    with pytest.raises(InputError, match="no sum is told in the clear any more"):
        ask_sums(grid, [1, 2, 3, 4], [])
    with pytest.raises(InputError, match="it is not the number of the participants"):
        ask_sums(grid, [1, 2, 3, 4], every, sites=5)


def test_two_participants_are_refused_and_leave_nothing_behind() -> None:
    grid = grid_of(SIZES)
    with pytest.raises(InputError, match="a sum of 2 participants cannot be masked"):
        ask_sums(grid, [1, 2], NAMES[:2])
    with pytest.raises(InputError, match="AU is asked for a masked sum of others"):
        ask_sums(grid, [1, 2, 3], ["BE", "CZ", "DK"])
    ask_sums(grid, [1, 2, 3], NAMES)  # no set of participants is held yet


def test_a_sum_that_could_overflow_is_not_masked() -> None:
    data = data_of(SIZES)
    data.countries["CZ"].x[:] = 1e10  # squares of which are beyond 2**63
    grid = LocalGrid(data, nodes_of(data), secure=True)
    with pytest.raises(InputError, match=r"sum-of-squares: 9e\+20 cannot be added up over 4 site"):
        sum_over_sites(grid, 0, SCALER)


def test_who_trains_in_a_round_stays_the_same() -> None:
    grid, told = grid_of(SIZES), settings()
    inputs = prepared(grid, told)
    assert inputs.width == 3
    shared = to_record(initial(told))

    def train(trainers: list[str], server_round: int = 1) -> None:
        config = ConfigRecord(
            {
                "server-round": server_round, "epochs": 1, "best-round": 0, "sites": 4,
                "participants": sorted(SIZES), "trainers": trainers, "largest-update": 10.0,
            }
        )  # fmt: skip
        content = RecordDict({"arrays": shared, "config": config})
        nodes = [1 + sorted(SIZES).index(name) for name in trainers]
        ask(grid, "train", dict.fromkeys(nodes, content))

    train(NAMES)
    train(NAMES)
    with pytest.raises(InputError, match="second set of participants in one round"):
        train(["AU", "CZ", "DK"])
    with pytest.raises(InputError, match="a sum of 2 participants cannot be masked"):
        train(["BE", "DK"], server_round=2)


def test_an_update_beyond_the_bound_is_not_sent() -> None:
    grid, told = grid_of(dict(list(SIZES.items())[:3])), settings(learning_rate=1e4)
    prepared(grid, told)
    with pytest.raises(InputError, match="fails its own check: its change of the record 'arrays'"):
        federate(grid, told)


def reply(questions: dict[str, str], *, checked: object = True) -> RecordDict:
    told = {**questions, **({} if checked is None else {"checked": checked})}
    return RecordDict({MASKED: ConfigRecord(told)})  # type: ignore[arg-type]


def test_what_masked_replies_say_of_themselves() -> None:
    digest = "0" * 64
    assert questions_in(reply({"sums": digest}), ("sums",)) == {"sums": digest}
    for other, told in (
        (reply({"sums": digest}, checked=None), "does not say that the client has checked"),
        (reply({"sums": digest}, checked=1), "does not say that the client has checked"),
        (reply({"sums": digest[1:]}), "sums: String should match pattern"),
        (reply({"scored": digest}), "other masked questions than were asked"),
        (reply({}), "other masked questions than were asked"),
    ):
        with pytest.raises(ReplyError, match=told):
            questions_in(other, ("sums",))


def test_sites_that_have_masked_for_different_questions_are_named() -> None:
    one, other = {"sums": "0" * 64}, {"sums": "1" * 64}
    check_alike({"AU": one, "BE": one})
    with pytest.raises(ClientError, match="CZ and AU have masked their sums for different questi"):
        check_alike({"AU": one, "BE": one, "CZ": other})


def test_a_total_of_losses_is_rounded_once() -> None:
    losses = [0.1, 0.2, 1e6]
    contents = [RecordDict({"scored": to_record(loss_words(x, 3))}) for x in losses]
    assert total_loss(contents, "scored") == math.fsum(losses)  # all are multiples of 2**-64
    below = RecordDict({"scored": to_record({"loss": ROWS.encode(np.array([-2e6]), 3)})})
    with pytest.raises(ClientError, match="total of the masked log-losses is below 0"):
        total_loss([*contents, below], "scored")
