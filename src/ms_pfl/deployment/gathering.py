"""The sites of a run come together: each is known by its key, tells its name, and agrees.

The server's own file binds a country to a key (:mod:`ms_pfl.deployment.site_keys`). Whoever is
connected is asked who it is, and no more. The agreement goes to the nodes whose key and name are
those of a site of the run; a site whose operator has not approved it yet says that it waits, and is
asked again. Whatever anybody else says is a warning in one line, and ends no run.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.agreement import Introduction, RefusalError, RunAgreement, Software
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.settings import ServerSettings, in_quotes
from ms_pfl.deployment.site_keys import fingerprint_of_node
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import UNREADABLE, ConfigRecord, Grid, Message, RecordDict, reason_of
from ms_pfl.federation.grids.sites import CRASHED, GONE, TRIES
from ms_pfl.names import near_names
from ms_pfl.text import shown

INTRODUCE = "query.introduce"
_POLL = 1.0
_SECONDS_BETWEEN = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """A site that takes part: its node in Flower, and what it told of itself."""

    node_id: int
    introduction: Introduction


@dataclass
class _Node:
    """A node that was connected at some time.

    Attributes:
        number: in Flower.
        key: fingerprint of its registered key.
        site: the site of the run whose key that is; empty: it is nobody's.
        state: "new" has not been asked; "named" is a site of the run that may be told the
            agreement; "waits" for its operator; "over" is not asked again.
        asked: id of the message that is out; empty: none is.
        activated: when it had been started last, when that message was sent.
        seen: when it was connected last.
        since: when its operator began to be waited for.
        again: when to ask it again.
        crashes: how often it broke down at its answer.
    """

    number: int
    key: str
    site: str
    state: Literal["new", "named", "waits", "over"] = "new"
    asked: str = ""
    activated: str = ""
    seen: float = 0.0
    since: float = 0.0
    again: float = 0.0
    crashes: int = 0

    @property
    def called(self) -> str:
        """As it stands in a message: by its site where it has one."""
        return self.site or f"a node with the key {self.key or 'of another kind'}"


def gather(
    grid: Grid,
    settings: ServerSettings,
    agreement: RunAgreement,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Site]:
    """Wait for the sites that are named, and see that they can take part; sorted by name.

    Raises:
        RefusalError: a site of the run does not take part.
        InputError: a key is not known, a site has not come in time, or was not approved in time.
    """
    meeting = _Meeting(grid, settings, agreement, clock)
    _log.info("Waiting for the sites %s", in_quotes(settings.countries))
    while not meeting.complete:
        meeting.send()
        meeting.read()
        if not meeting.complete:
            meeting.check_time()
            time.sleep(_POLL)
    check_keys(meeting.sites)
    return dict(sorted(meeting.sites.items()))


def check_keys(sites: Mapping[str, Site]) -> None:
    """See that all sites have pinned the same keys of masked sums.

    Raises:
        RefusalError: they have not, so that masks would not cancel.
    """
    codes = {name: site.introduction.keys for name, site in sorted(sites.items())}
    if len(set(codes.values())) > 1:
        told = "; ".join(f"{name}: {shown(code, 100)}" for name, code in codes.items())
        raise RefusalError(
            "the sites have not pinned the same keys of masked sums. Their people compare the keys "
            f"(python -m ms_pfl site keys) and pin one file at all. Codes: {told}"
        )


@dataclass
class _Meeting:
    """The nodes of a federation until all sites of a run have agreed."""

    grid: Grid
    settings: ServerSettings
    agreement: RunAgreement
    clock: Callable[[], float]
    sites: dict[str, Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._keys = self.settings.fingerprints
        self._nodes: dict[int, _Node] = {}
        self._others: list[str] = []
        self._looked = self.clock()
        self._until = self._looked + self.settings.wait_for_sites
        self._log = SecurityLog(self.settings.output_folder)
        digest = hashlib.sha256(self.agreement.text.encode()).hexdigest()
        self._log.note("agreement", sites=list(self.settings.countries), digest=digest)

    @property
    def complete(self) -> bool:
        """Whether all sites of the run have agreed."""
        return len(self.sites) == len(self._keys)

    def send(self) -> None:
        """Ask whoever is to be asked, and was not."""
        countries = {key: country for country, key in self._keys.items()}
        there: dict[int, str] = {}
        for info in self.grid.get_nodes():
            there[info.node_id] = info.last_activated_at
            if info.node_id not in self._nodes:
                key = fingerprint_of_node(info.public_key)
                self._nodes[info.node_id] = _Node(info.node_id, key, countries.get(key, ""))
        self._looked = now = self.clock()
        for number, activated in there.items():
            node = self._nodes[number]
            node.seen = self._looked
            if node.asked and node.activated != activated:
                node.asked = ""  # it was started again, and does not know what it was asked
            if not node.asked and node.state != "over" and now >= node.again:
                self._ask(node, activated)

    def _ask(self, node: _Node, activated: str) -> None:
        told = {"software": Software.here().to_json(), "sites": list(self.settings.countries)}
        if node.state != "new":
            told["agreement"] = self.agreement.text
        message = Message(
            content=RecordDict({"config": ConfigRecord(told)}),
            message_type=INTRODUCE,
            dst_node_id=node.number,
            ttl=self.settings.answer_within,
        )
        for name in self.grid.push_messages([message]):
            node.asked, node.activated = name, activated

    def read(self) -> None:
        """Take the answers that have come.

        Raises:
            RefusalError: a site of the run does not take part.
        """
        for node in [node for node in self._nodes.values() if node.asked]:
            try:
                for reply in self._pull(node):
                    node.asked = ""
                    if reply.has_error() and self._ask_again(node, reply.error.code):
                        continue
                    self._take(node, _introduction(reply))
            except RefusalError as error:
                node.state, node.asked = "over", ""
                self._log.note("refused", node=node.called, reason=str(error))
                if node.site:
                    raise RefusalError(f"{node.site} does not take part: {error}") from None
                _log.warning("%s is not of this run, and is left alone: %s", node.called, error)

    def _pull(self, node: _Node) -> list[Message]:
        """Return the answer of a node, if it has come.

        Raises:
            RefusalError: Flower cannot read it.
        """
        try:
            replies = list(self.grid.pull_messages([node.asked]))
        except (ConnectionError, TimeoutError):
            raise
        except UNREADABLE as error:
            raise RefusalError(f"its answer cannot be read: {shown(error)}") from None
        return [one for one in replies if one.metadata.reply_to_message_id == node.asked][:1]

    def _ask_again(self, node: _Node, code: int) -> bool:
        """Whether an error says that nobody has worked on the question, or may be chance."""
        node.again = self.clock() + _SECONDS_BETWEEN
        node.crashes += code == CRASHED
        return code in GONE or (code == CRASHED and node.crashes < TRIES)

    def _take(self, node: _Node, told: Introduction) -> None:
        if node.state == "new":
            self._take_name(node, told)
        elif told.country != node.site:
            raise RefusalError(f'it has called itself "{shown(told.country, 60)}" meanwhile')
        elif told.waiting:
            self._wait(node)
        else:
            told.check(FEATURES, len(self.agreement.seeds))
            node.state = "over"
            self.sites[node.site] = Site(node.number, told)
            self._log.note("told", site=node.site, patients=list(told.patients), digest=told.log)
            _log.info(
                "%s takes part: %d patients to train on, %d to validate, %d to test",
                node.site,
                *told.patients,
            )

    def _take_name(self, node: _Node, told: Introduction) -> None:
        """Look at what a node calls itself: only a site of the run is asked anything else."""
        name, wanted = shown(told.country, 60), self._keys.get(told.country)
        if node.site == told.country:
            told.check_software()
            node.state = "named"
            self._log.note("connected", site=node.site, key=node.key)
            return
        node.state = "over"
        self._others.append(name)
        if node.site or wanted:
            alike = near_names(told.country, [node.site]) if node.site else []
            reason = (
                f'"{name}" is refused, and the run goes on without it: its key is '
                f"{node.key or 'of another kind'}"
                + (f', which is that of "{node.site}"' if node.site else "")
                + (f', and "{name}" has {wanted} in {self.settings.keys}' if wanted else "")
                + ("; name both in one way" if alike else "")
            )
            self._log.note("refused", node=told.country, key=node.key, reason=reason)
            _log.warning("%s", reason)
            return
        alike = near_names(told.country, self._keys)
        _log.warning(
            '"%s" is connected, but not among the sites of this run; it is not asked again%s',
            name,
            f'; the run waits for "{alike[0]}": name both in one way, in the run\'s sites or in '
            "the site's country" if alike else "",
        )  # fmt: skip

    def _wait(self, node: _Node) -> None:
        now = self.clock()
        node.again = now + _SECONDS_BETWEEN
        if node.state != "waits":
            node.state, node.since = "waits", now
            _log.info(
                "%s waits for its operator to approve the run (python -m ms_pfl site review)",
                node.site,
            )

    def check_time(self) -> None:
        """See that nobody is waited for any longer than was set.

        Raises:
            InputError: a site has not come, or its operator has not approved.
        """
        now, settings = self.clock(), self.settings
        late = [
            node.site
            for node in self._nodes.values()
            if node.state == "waits" and now - node.since > settings.wait_for_approval
        ]
        if late:
            raise InputError(
                f"{in_quotes(sorted(late))} did not approve the run within "
                f"{settings.wait_for_approval:.0f} seconds; ask the operator there to look at it "
                "(python -m ms_pfl site review), and give the same flwr run again"
            )
        here = {
            node.site
            for node in self._nodes.values()
            if node.state == "waits"
            or (node.state == "named" and self._looked - node.seen <= settings.wait_for_sites)
        }
        absent = [name for name in self._keys if name not in self.sites and name not in here]
        if absent and now > self._until:
            others = in_quotes(self._others)
            besides = f" (connected but not named: {others})" if others else ""
            hint = "".join(
                f'; "{alike}" is connected and the run waits for "{name}": name both in one way'
                for name in absent
                for alike in near_names(name, self._others)
            )
            raise InputError(
                f"{in_quotes(absent)} did not come within {settings.wait_for_sites:.0f} seconds"
                f"{besides}: is the SuperNode there running, is its key registered and the one of "
                f"{settings.keys}, and its country spelled so? A name with a comma is given in a "
                f'JSON list: sites=\'["Korea, Republic of", "Turkey"]\'{hint}'
            )


def _introduction(reply: Message) -> Introduction:
    """Return what a node tells of itself.

    Raises:
        RefusalError: it tells why it does not, or something else.
    """
    if reply.has_error():
        raise RefusalError(reason_of(reply.error))
    content = reply.content
    if set(content) != {"config"} or set(content.config_records) != {"config"}:
        raise RefusalError("its introduction is none")
    told: Mapping[str, object] = content.config_records["config"]
    try:
        return Introduction.model_validate(dict(told))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = shown(".".join(map(str, first["loc"])), 60)
        raise RefusalError(f"its introduction cannot be read: {where}: {first['msg']}") from None
