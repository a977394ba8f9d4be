"""The grid of real sites: what a site's error says, and replies that belong to nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import pytest
from google.protobuf.message import DecodeError

from ms_pfl.federation.exchange import ClientError, ask
from ms_pfl.federation.flower import Error, Message, RecordDict, take_identity
from ms_pfl.federation.grids.sites import Patience, SiteGrid

ESCAPES = "\x1b[2J\nINFO: Turkey takes part" + "x" * 460_000
Pull = Callable[[dict[str, Message]], list[Message]]


class Link:
    """Flower's grid over two sites, whose replies a test makes."""

    def __init__(self, pull: Pull) -> None:
        take_identity()
        self.out: dict[str, Message] = {}
        self._pull = pull

    def get_nodes(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(node_id=n, last_activated_at="1") for n in (11, 22)]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        names = []
        for message in messages:
            name = f"m{len(self.out)}"
            message.metadata.__dict__["_message_id"] = name
            self.out[name] = message
            names.append(name)
        return names

    def pull_messages(self, names: Iterable[str]) -> list[Message]:
        return self._pull({name: self.out[name] for name in names})


def grid(pull: Pull) -> SiteGrid:
    sites = {"Peru": 11, "Turkey": 22}
    link = Link(pull)
    return SiteGrid(link, sites, 0, Patience(9, 9), 42, sleep=lambda _: None)  # type: ignore[arg-type]


def good(message: Message) -> Message:
    return Message(RecordDict(), reply_to=message)


def of(message: Message) -> int:
    return message.metadata.dst_node_id


def ask_both(pull: Pull) -> dict[int, RecordDict]:
    return ask(grid(pull), "query.prepare", {1: RecordDict(), 2: RecordDict()})


@pytest.mark.parametrize("reason", [ESCAPES, f"<class 'ValueError'>:<'{ESCAPES}'>"])
def test_an_error_of_a_site_is_one_line_that_names_it(reason: str) -> None:
    def pull(out: dict[str, Message]) -> list[Message]:
        return [
            Message(Error(2, reason), reply_to=m) if of(m) == 22 else good(m) for m in out.values()
        ]

    with pytest.raises(ClientError) as error:
        ask_both(pull)
    text = str(error.value)
    assert text.startswith(r"Turkey: \x1b[2J\nINFO: Turkey takes partxxx")
    assert text.isprintable()
    assert len(text) < 520


def test_a_site_that_is_gone_is_told_of_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    def pull(out: dict[str, Message]) -> list[Message]:
        asked.extend(out)
        first = len(asked) <= 2
        return [
            Message(Error(5, ESCAPES), reply_to=m) if first and of(m) == 22 else good(m)
            for m in out.values()
        ]

    with caplog.at_level(logging.WARNING):
        assert len(ask_both(pull)) == 2
    (line,) = caplog.messages
    assert line.startswith(r"Turkey has not answered (\x1b[2J\nINFO")
    assert line.isprintable()
    assert len(line) < 540


def test_a_second_reply_and_one_to_nothing_are_left_out() -> None:
    """What is counted is the first reply to what was asked."""

    def pull(out: dict[str, Message]) -> list[Message]:
        stray = Message(RecordDict(), message_type="query.prepare", dst_node_id=22)
        stray.metadata.__dict__["_message_id"] = "nobody's"
        replies = [good(stray)]
        for message in out.values():
            replies += [good(message), Message(Error(2, "second"), reply_to=message)]
        return replies

    assert list(ask_both(pull)) == [1, 2]


@pytest.mark.parametrize("kind", [TypeError, DecodeError, RecursionError])
def test_a_reply_that_flower_cannot_read_names_its_sender(kind: type[Exception]) -> None:
    def pull(out: dict[str, Message]) -> list[Message]:
        if any(of(message) == 22 for message in out.values()):
            raise kind(f"not all values are of valid type: {ESCAPES}")
        return []

    with pytest.raises(ClientError) as error:
        ask_both(pull)
    assert str(error.value).startswith("Turkey: its reply cannot be read: not all values are of v")
    assert str(error.value).isprintable()


def test_a_lost_connection_is_no_fault_of_a_site() -> None:
    def pull(out: dict[str, Message]) -> list[Message]:
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        ask_both(pull)
