"""How the sites of a run come together: keys, names, agreements, operators who take their time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from hypothesis_profiles import examples
from in_process_flower import public_key, write_sites_file
from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment import gathering
from ms_pfl.deployment.agreement import RefusalError, RunAgreement, Software
from ms_pfl.deployment.gathering import gather
from ms_pfl.deployment.settings import ServerSettings, read_parameters
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import (
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
    take_identity,
)
from ms_pfl.paradigms import Training
from network_examples import PROJECT

KEYS = {"Australia": 1, "Turkey": 2}
SOFTWARE = Software.here().to_json()
AGREEMENT = RunAgreement.of(
    Training("adaptive", "fedavg"), read_parameters(str(PROJECT), "smoke"), KEYS, "plain"
)
N_SEEDS = len(AGREEMENT.seeds)


def name_of(country: str) -> dict[str, object]:
    return {"country": country, "software": SOFTWARE}


def agreeing(country: str, **more: object) -> dict[str, object]:
    told = {
        "features": list(FEATURES), "data": "d", "patients": [30, 20, 10], "log": "0" * 64,
        "rows": [60, 40, 20] * N_SEEDS,
    }  # fmt: skip
    return {**name_of(country), **told, **more}


@dataclass
class Peer:
    """A node that answers as a test says; what it was asked is kept."""

    answer: Callable[[dict[str, object]], object]
    activated: str = "1"
    online: bool = True
    asked: list[dict[str, object]] = field(default_factory=list)

    @property
    def agreements(self) -> int:
        return sum("agreement" in one for one in self.asked)


def honest(country: str) -> Peer:
    return Peer(lambda asked: agreeing(country) if "agreement" in asked else name_of(country))


class Nodes:
    """A grid of such nodes."""

    def __init__(self, peers: Mapping[int, Peer]) -> None:
        take_identity()
        self.peers = dict(peers)
        self._out: dict[str, tuple[int, Message]] = {}

    def get_nodes(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                node_id=number, last_activated_at=peer.activated, public_key=public_key(number)
            )
            for number, peer in self.peers.items()
            if peer.online
        ]

    def push_messages(self, messages: list[Message]) -> list[str]:
        names = []
        for message in messages:
            name = f"m{len(self._out)}"
            message.metadata.__dict__["_message_id"] = name
            self._out[name] = (message.metadata.dst_node_id, message)
            names.append(name)
        return names

    def pull_messages(self, names: list[str]) -> list[Message]:
        replies = []
        for name in names:
            number, message = self._out[name]
            asked = dict(message.content["config"])
            self.peers[number].asked.append(asked)
            told = self.peers[number].answer(asked)
            if told is None:
                continue
            if isinstance(told, Exception):
                raise told
            if not isinstance(told, RecordDict | Error):
                told = RecordDict({"config": ConfigRecord(dict(told))})
            replies.append(Message(told, reply_to=message))  # type: ignore[arg-type]
        return replies


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_POLL", 0.0)


@dataclass
class Run:
    """A run of two sites, with a clock that goes a second at a look."""

    folder: Path
    now: float = 0.0

    def clock(self) -> float:
        self.now += 0.25
        return self.now

    def settings(self, **more: object) -> ServerSettings:
        told = {
            "project": str(self.folder), "sites": "Australia,Turkey",
            "keys": str(write_sites_file(self.folder / "sites.yml", KEYS)),
            "wait_for_sites": 60.0, "wait_for_approval": 600.0, **more,
        }  # fmt: skip
        return ServerSettings(**told)  # type: ignore[arg-type]

    def gather(self, peers: Mapping[int, Peer], **more: object) -> dict[str, gathering.Site]:
        return gather(Nodes(peers), self.settings(**more), AGREEMENT, self.clock)  # type: ignore[arg-type]

    @property
    def noted(self) -> list[tuple[str, dict[str, object]]]:
        path = self.settings().output_folder / "security.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [(line["event"], line["facts"]) for line in lines]


@pytest.fixture
def run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Run:
    caplog.set_level(logging.INFO, "ms_pfl")
    return Run(tmp_path)


def test_the_name_first_and_the_agreement_afterwards(run: Run) -> None:
    peers = {1: honest("Australia"), 2: honest("Turkey"), 3: honest("Peru")}
    sites = run.gather(peers)
    assert {name: site.node_id for name, site in sites.items()} == KEYS
    for number in (1, 2):
        first, second = peers[number].asked
        assert set(first) == {"software", "sites"}
        assert set(second) == {"software", "sites", "agreement"}
        assert second["agreement"] == AGREEMENT.text
    assert [set(one) for one in peers[3].asked] == [{"software", "sites"}]
    assert [event for event, _ in run.noted] == [
        "agreement", "connected", "connected", "told", "told"
    ]  # fmt: skip


HOSTILE: list[object] = [
    Error(2, "<class 'x'>:<'\x1b[31mall is well\n[server] forged'>"),
    {"country": "Pe\x1b[2Jru\nforged", "software": SOFTWARE},
    {"country": "x" * 460_000, "software": SOFTWARE},
    {"country": "Peru", "software": SOFTWARE, "patients": [5, 5, 5], "more": "text"},
    {"country": 5, "software": SOFTWARE},
    {"country": "Peru", "software": "x" * 10**6},
    {"software": SOFTWARE},
    {},
    {"country": "Peru", "software": "[" * 5000},
    RecordDict({"metrics": MetricRecord({"n": 1})}),
    RecordDict({"config": MetricRecord({"country": 1})}),
    RecordDict({}),
    ValueError("of Flower's: no such\nobject"),
    DecodeError("Error parsing message with type 'flwr.proto.ConfigRecord'"),
    RecursionError("maximum recursion depth exceeded while decoding a JSON array"),
    {"country": "Turkey", "software": SOFTWARE},
    {"country": "Peru", "software": SOFTWARE, "patients": [987654, 3, 3]},
]


@pytest.mark.parametrize("told", HOSTILE, ids=range(len(HOSTILE)))
def test_a_bystander_ends_no_run_and_is_one_line(
    told: object, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    bystander = Peer(lambda _: told)
    sites = run.gather({3: bystander, 1: honest("Australia"), 2: honest("Turkey")})
    assert set(sites) == {"Australia", "Turkey"}
    assert sites["Turkey"].node_id == 2
    assert bystander.agreements == 0
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].isprintable()
    assert len(warnings[0]) < 1000
    assert "987654" not in caplog.text


def test_a_bystander_that_never_answers(run: Run) -> None:
    run.gather({3: Peer(lambda _: None), 1: honest("Australia"), 2: honest("Turkey")})


def test_another_registered_site_as_turkey(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    impostor = honest("Turkey")
    with pytest.raises(InputError, match=r'^"Turkey" did not come within 60 seconds'):
        run.gather({3: impostor, 1: honest("Australia")})
    assert impostor.agreements == 0
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith('"Turkey" is refused, and the run goes on without it: its key is SHA')
    assert ', and "Turkey" has SHA256:' in warning
    assert [event for event, _ in run.noted].count("refused") == 1


def test_a_site_of_the_run_by_anothers_name(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    peers = {1: honest("Australia"), 2: honest("Australia")}
    with pytest.raises(InputError, match=r'^"Turkey" did not come'):
        run.gather(peers)
    assert ', which is that of "Turkey"' in caplog.text
    assert peers[2].agreements == 0


def test_another_name_with_the_agreement(run: Run) -> None:
    two_faced = Peer(lambda asked: agreeing("Peru" if "agreement" in asked else "Turkey"))
    with pytest.raises(RefusalError, match=r'^Turkey does not take part: it has called itself "Pe'):
        run.gather({1: honest("Australia"), 2: two_faced})


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (Error(2, "<class 'x'>:<'too few patients'>"), "too few patients"),
        (Error(2, "x" * 10**5), "x" * 50),
        ({**agreeing("Turkey"), "patients": [1, 2]}, "it does not tell how many patients it has"),
        ({**agreeing("Turkey"), "rows": [60, 40, 20]}, "it does not tell how many rows"),
        ({**agreeing("Turkey"), "rows": [60, 40, 9] * N_SEEDS}, "it does not tell how many rows"),
        ({**agreeing("Turkey"), "patients": [1, 2, -3]}, "its introduction cannot be read: patie"),
        ({**agreeing("Turkey"), "patients": [1, 2, 10**12]}, "its introduction cannot be read"),
        ({**agreeing("Turkey"), "features": ["a\x1b[2J"]}, "its features are not those of the"),
        ({**agreeing("Turkey"), "software": "{}"}, "what the other end tells of its software"),
    ],
)
def test_a_site_of_the_run_that_does_not_take_part_is_named(
    told: object, wanted: str, run: Run
) -> None:
    peer = Peer(lambda asked: told if "agreement" in asked else name_of("Turkey"))
    with pytest.raises(RefusalError) as caught:
        run.gather({1: honest("Australia"), 2: peer})
    said = str(caught.value)
    assert said.startswith(f"Turkey does not take part: {wanted}")
    assert said.isprintable()
    assert len(said) < 3000


def test_an_operator_is_waited_for(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    waiting = {**name_of("Turkey"), "waiting": True}
    peer = Peer(lambda asked: name_of("Turkey"))
    peer.answer = lambda asked: (
        name_of("Turkey") if "agreement" not in asked
        else waiting if peer.agreements < 20 else agreeing("Turkey")
    )  # fmt: skip
    sites = run.gather({1: honest("Australia"), 2: peer})
    assert set(sites) == {"Australia", "Turkey"}
    assert peer.agreements == 20
    assert run.now > 19 * 5, "some seconds lie between two questions"
    assert caplog.text.count("Turkey waits for its operator to approve the run") == 1


def test_an_operator_who_does_not_approve(run: Run) -> None:
    peer = Peer(lambda asked: {**name_of("Turkey"), "waiting": "agreement" in asked})
    with pytest.raises(InputError, match=r'^"Turkey" did not approve the run within 600 seconds'):
        run.gather({1: honest("Australia"), 2: peer})
    assert run.now > 600


def test_a_site_that_is_started_again_is_asked_again(run: Run) -> None:
    peer = Peer(lambda _: None)

    def answer(asked: dict[str, object]) -> object:
        if len(peer.asked) == 1:
            peer.activated = "2"  # it has forgotten the question
            return None
        return honest("Turkey").answer(asked)

    peer.answer = answer
    assert set(run.gather({1: honest("Australia"), 2: peer})) == {"Australia", "Turkey"}


@pytest.mark.parametrize("code", [3, 4, 5, 8])
def test_an_answer_that_was_lost_is_asked_for_again(code: int, run: Run) -> None:
    peer = Peer(lambda _: None)
    peer.answer = lambda asked: (
        Error(code, "gone") if len(peer.asked) in (1, 3) else honest("Turkey").answer(asked)
    )
    assert set(run.gather({1: honest("Australia"), 2: peer})) == {"Australia", "Turkey"}


def test_a_site_that_goes_away_with_the_question(run: Run) -> None:
    peer = Peer(lambda _: None)

    def answer(asked: dict[str, object]) -> object:
        peer.online = "agreement" not in asked
        return name_of("Turkey") if peer.online else None

    peer.answer = answer
    with pytest.raises(InputError, match=r'^"Turkey" did not come within 60 seconds'):
        run.gather({1: honest("Australia"), 2: peer})


def test_without_keys_a_run_does_not_begin(run: Run) -> None:
    peers = {1: honest("Australia"), 2: honest("Turkey")}
    with pytest.raises(InputError, match='has no key for "Peru": add'):
        run.gather(peers, sites="Australia,Peru")
    with pytest.raises(InputError, match=r"absent\.yml cannot be read \(No such file"):
        run.gather(peers, keys=str(run.folder / "absent.yml"))
    assert peers[1].asked == []


@profile(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["country", "software", "features", "data", "patients", "waiting", "x"]),
        st.one_of(
            st.text(max_size=30), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(),
            st.lists(st.text(max_size=5), max_size=4),
            st.lists(st.integers(-5, 2**40), max_size=4),
            st.sampled_from(["Turkey", "Australia", SOFTWARE]),
        ),
    )
)  # fmt: skip
def test_any_introduction_of_a_bystander(run: Run, told: dict[str, object]) -> None:
    bystander = Peer(lambda _: told)
    sites = run.gather({3: bystander, 1: honest("Australia"), 2: honest("Turkey")})
    assert {name: site.node_id for name, site in sites.items()} == KEYS
    assert bystander.agreements == 0
