"""What leaves a site, and what does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from in_process_flower import Flower
from ms_pfl.deployment.security_log import Entry, verify
from ms_pfl.federation import client_app
from ms_pfl.federation.client import PRIVATE
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import Message
from ms_pfl.personalization.method import SHARED, Arrays, Method, Sent
from ms_pfl.personalization.proximal_copy import ProximalCopy
from ms_pfl.personalization.scaffold import Scaffold
from site_examples import COUNTRIES, Sites

TURKEY = 405


def log_of(sites: Sites, country: str = "Turkey") -> list[Entry]:
    """The site's security log, whose chain holds."""
    verify(sites.site(country))
    lines = (sites.site(country) / "security.jsonl").read_text().splitlines()
    return [Entry.model_validate_json(line) for line in lines]


def test_what_leaves_holds_no_row_no_prediction_and_no_personal_array(sites: Sites) -> None:
    flower = sites.flower()
    sites.run(flower, "adaptive")
    episodes = {
        country: pd.read_parquet(next(sites.site(country).glob("snapshots/*/episodes.parquet")))
        for country in COUNTRIES
    }
    rows = {country: len(table) for country, table in episodes.items()}
    for _, reply in flower.sent:
        for record in reply.content.array_records.values():
            for name, array in record.items():
                assert not name.startswith("extension"), name
                assert not set(array.shape) & set(rows.values()), "nothing is as long as the rows"
        for record in reply.content.metric_records.values():
            for name, value in record.items():
                assert np.ndim(value) == 0, name
        text = json.dumps([dict(r) for r in reply.content.config_records.values()], default=str)
        for table in episodes.values():
            assert not any(patient in text for patient in table["patient_id"].unique())
    entries = log_of(sites)
    sent = [entry.facts for entry in entries if entry.event == "sent"]
    asked = [entry.facts["question"] for entry in entries if entry.event == "asked"]
    assert asked == [facts["question"] for facts in sent]
    assert [facts["waiting"] for facts in sent if facts["question"] == "query.introduce"] == [
        False, True, False
    ], "its name, that it waits, and that it takes part"  # fmt: skip
    sent = [facts for facts in sent if facts["question"] != "query.introduce"]
    replies = [reply for node, reply in flower.sent if node == TURKEY]
    assert replies.pop().metadata.message_type == "query.end", "noted as ended"
    replies = replies[-len(sent) :]
    for facts, reply in zip(sent, replies, strict=True):
        assert facts["question"] == reply.metadata.message_type
        names = {f"{r}/{k}" for r, record in reply.content.array_records.items() for k in record}
        assert set(facts["arrays"]) == names
        numbers = {k for record in reply.content.metric_records.values() for k in record}
        assert set(facts["numbers"]) == numbers
    rounds = [facts["place"] for facts in sent if facts["question"] == "train"]
    assert rounds == ["0/1", "0/2", "0/3"] * 2


def send_more(monkeypatch: pytest.MonkeyPatch, more: Callable[[Sent], dict[str, Arrays]]) -> None:
    """Have the app send other records than those of its method."""
    for kind in (Method, ProximalCopy, Scaffold):
        train = kind.train

        def too_much(  # type: ignore[no-untyped-def]
            self, work, records, private, train=train
        ) -> Sent:
            sent: Sent = train(self, work, records, private)
            return replace(sent, records={**sent.records, **more(sent)})

        monkeypatch.setattr(kind, "train", too_much)


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize(
    ("paradigm", "told"),
    [
        ("adaptive", r"does not send extension\.0\.bias, .* to train"),
        ("private_intercept", r"does not send output\.bias in answer to train"),
    ],
)
def test_private_arrays_do_not_leave_even_where_the_app_would_send_them(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, paradigm: str, told: str, asked_for: bool
) -> None:
    """The server passes them off as shared: a message that names them is refused."""

    def happening(flower: Flower, node: int, message: Message) -> None:
        if asked_for and message.metadata.message_type == "train":
            state = flower.sites[node].context.state  # type: ignore[union-attr]
            for name in [name for name in state if name.startswith(PRIVATE)]:
                message.content[SHARED].update(state[name])

    send_more(monkeypatch, lambda sent: {SHARED: {**sent.records[SHARED], **sent.private}})
    with pytest.raises(ClientError, match="are not the initial ones" if asked_for else told):
        sites.run(sites.flower(happening), paradigm, sums="plain")


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize("paradigm", ["private_intercept", "proximal_copy", "scaffold"])
def test_records_that_a_method_does_not_share_do_not_leave(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, paradigm: str, asked_for: bool
) -> None:
    """The arrays of a proximal copy are named as the shared ones: the record's name tells."""

    def happening(flower: Flower, node: int, message: Message) -> None:
        if asked_for and message.metadata.message_type == "train":
            message.content["private/1"] = message.content[SHARED]

    send_more(monkeypatch, lambda sent: {"private/1": sent.private})
    told = "the record 'private/1' is unknown$" if asked_for else "does not send .* to train"
    with pytest.raises(ClientError, match=told):
        sites.run(sites.flower(happening), paradigm, sums="plain")


def test_sums_do_not_leave_without_masks_even_where_the_app_would_send_them(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_app, "masking_of", lambda *_: None)
    flower = sites.flower()
    with pytest.raises(ClientError, match=r"does not send sums in answer to query\.sums without"):
        sites.run(flower, "federated")
    assert not any(reply.has_content() and reply.content.array_records for _, reply in flower.sent)
