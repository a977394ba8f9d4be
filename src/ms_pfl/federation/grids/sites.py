"""The grid of a real federation: Flower's, whose nodes are sites that may go away and come back."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError, NamedGrid, Node
from ms_pfl.federation.flower import UNREADABLE, Grid, Message, name_sender, reason_of
from ms_pfl.federation.partitions import SplitName
from ms_pfl.text import shown

GONE = {3, 4, 5}
"""Flower's error codes: message, reply or node unavailable. Nobody has worked on the message."""
CRASHED = 8
"""And the one of a client that has broken down at its work, which is tried so often:"""
TRIES = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long the server waits, in seconds.

    Attributes:
        absence: for a site that is away; then the run ends, and says which.
        answer: for the answer of a site that is there, before it is asked again.
        look: between two looks for answers.
    """

    absence: float
    answer: float
    look: float = 1.0


class SiteLostError(InputError):
    """A site went away and did not come back in time."""


class SiteGrid(NamedGrid):
    """The sites of a federation, for one seed, over Flower's own grid.

    What is done when a site goes away: the round waits for it. Everybody else's answers are kept,
    and the site gets its message again once it is back; as a client's work depends on its message
    and on what it has kept, the result is the same, bit for bit. A site that stays away for too
    long ends the run: a round without it would be another federation than was agreed on.
    """

    tells_probabilities = False

    def __init__(
        self,
        grid: Grid,
        sites: Mapping[str, int],
        seed: int,
        patience: Patience,
        n_features: int,
        rows: Mapping[str, Mapping[SplitName, int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        secure: bool = False,
    ) -> None:
        """Give each site a number, in the order of their names.

        Args:
            grid: Flower's, over its SuperLink.
            sites: Flower's number of the node of each country.
            seed: of the fit.
            patience: how long to wait for whom.
            n_features: columns of the sites' rows.
            rows: how many each site has in each split of the seed, as it introduced itself.
            clock: seconds that pass.
            sleep: lets them pass.
            secure: whether sums are masked.
        """
        super().__init__(
            [Node(country, seed) for country in sites],
            n_features,
            {Node(country, seed): own for country, own in (rows or {}).items()},
            secure=secure,
        )
        self._grid = grid
        self._flower = {i: sites[node.country] for i, node in self.nodes.items()}
        self._patience = patience
        self._clock, self._sleep = clock, sleep

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Not for sites: a message may have to be sent again."""
        raise NotImplementedError("ask sites by send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Not for sites: a message may have to be sent again."""
        raise NotImplementedError("ask sites by send_and_receive")

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Have the messages answered, one per site, and return the replies in the nodes' order.

        ``timeout`` is not heeded: how long a site is waited for is the same for all messages.

        Raises:
            SiteLostError: a site was away for too long.
            ClientError: a site answered with an error.
        """
        exchange = _Exchange(self, {m.metadata.dst_node_id: m for m in messages})
        while exchange.waited_for:
            exchange.send()
            exchange.look()
            if exchange.waited_for:
                self._sleep(self._patience.look)
        return [exchange.done[node] for node in sorted(exchange.done)]


@dataclass
class _Sent:
    """A message that is out: its id, and since when the node it went to has been there."""

    message_id: str
    activated: str


class _Exchange:
    """One message to each of some sites, until all have answered."""

    def __init__(self, grid: SiteGrid, messages: dict[int, Message]) -> None:
        self._grid, self._messages = grid, messages
        self._flower = grid._grid
        self._out: dict[int, _Sent] = {}
        self.done: dict[int, Message] = {}
        self._away: dict[int, float] = {}
        self._crashes: Counter[int] = Counter()

    @property
    def waited_for(self) -> list[int]:
        """The sites that have not answered yet."""
        return [node for node in self._messages if node not in self.done]

    def send(self) -> None:
        """Send what is to be sent to the sites that are there; count how long others are away."""
        there = {info.node_id: info.last_activated_at for info in self._flower.get_nodes()}
        for node in self.waited_for:
            activated = there.get(self._grid._flower[node])
            if node in self._out and activated not in (None, self._out[node].activated):
                self._tell(node, "has restarted and is asked again")
                del self._out[node]
            if activated is None:
                self._wait_for(node)
            elif node not in self._out:
                self._push(node, activated)
            else:
                self._away.pop(node, None)

    def look(self) -> None:
        """Take the replies that have come."""
        nodes = {sent.message_id: node for node, sent in self._out.items()}
        if not nodes:
            return
        for reply in self._pull(nodes):
            node = nodes.get(reply.metadata.reply_to_message_id)
            if node is None or node not in self._out:
                continue  # to nothing that was asked, or a second one
            del self._out[node]
            if not reply.has_error():
                name_sender(reply, node)
                self.done[node] = reply
                self._away.pop(node, None)
            elif reply.error.code in GONE:
                self._tell(node, f"has not answered ({reason_of(reply.error)})")
            elif reply.error.code == CRASHED and self._crashes[node] + 1 < TRIES:
                self._crashes[node] += 1
                self._tell(node, "broke down at its work and is asked again")
            else:
                raise ClientError(f"{self._country(node)}: {reason_of(reply.error)}")

    def _pull(self, nodes: Mapping[str, int]) -> list[Message]:
        """Return the replies that have come; one that Flower cannot read ends the run by its
        sender."""
        try:
            return list(self._flower.pull_messages(list(nodes)))
        except (ConnectionError, TimeoutError):
            raise
        except UNREADABLE:
            for name, node in nodes.items():
                try:
                    self._flower.pull_messages([name])
                except UNREADABLE as error:
                    raise ClientError(
                        f"{self._country(node)}: its reply cannot be read: {shown(error)}"
                    ) from None
            raise

    def _push(self, node: int, activated: str) -> None:
        message = self._messages[node]
        again = Message(
            content=message.content,
            message_type=message.metadata.message_type,
            dst_node_id=self._grid._flower[node],
            group_id=message.metadata.group_id,
            ttl=self._grid._patience.answer,
        )
        pushed = [name for name in self._flower.push_messages([again]) if name]
        if pushed:
            self._out[node] = _Sent(pushed[0], activated)
            if self._away.pop(node, None) is not None:
                self._tell(node, "is back")

    def _wait_for(self, node: int) -> None:
        limit, now = self._grid._patience.absence, self._grid._clock()
        if node not in self._away:
            self._away[node] = now
            self._tell(node, f"is away; the round waits for it, {limit:.0f} seconds at most")
        elif now - self._away[node] > limit:
            raise SiteLostError(
                f"{self._country(node)} went away and was not back within {limit:.0f} seconds; "
                "the results of the rounds are kept: start its SuperNode, and run again"
            )

    def _tell(self, node: int, what: str) -> None:
        _log.warning("%s %s", self._country(node), what)

    def _country(self, node: int) -> str:
        return self._grid.nodes[node].country
