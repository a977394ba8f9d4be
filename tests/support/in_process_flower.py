"""Flower's grid over sites in this process, which go away and come back as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.site import make_site_app
from ms_pfl.deployment.site_keys import fingerprint_of_node
from ms_pfl.federation.flower import (
    ClientApp,
    Context,
    Error,
    Grid,
    Message,
    RecordDict,
    Run,
    take_identity,
)

RAISED, GONE = 2, 5


@dataclass
class FakeNode:
    """A SuperNode: its configuration, its ClientApp, what it holds in memory, when it started."""

    config: dict[str, str | int]
    app: ClientApp = field(default_factory=make_site_app)
    starts: int = 1
    online: bool = True
    context: Context | None = None


Happening = Callable[["Flower", int, Message], str | None]


class Flower(Grid):
    """Answers messages when they are pulled for, by the sites' own ClientApp.

    ``happening(flower, node, message)`` is asked before each: it may say ``lost`` (the message is
    gone with the process of the site), or ``unanswered`` (the work is done, the reply is gone).
    With ``approve`` an operator at each site approves what is asked, once the site waits for it.
    """

    def __init__(
        self,
        configs: Mapping[int, dict[str, str | int]],
        happening: Happening | None = None,
        *,
        approve: bool = True,
    ) -> None:
        take_identity()
        self.sites = {node: FakeNode(dict(config)) for node, config in configs.items()}
        self.happening = happening or (lambda *_: None)
        self.answered: list[tuple[str, int]] = []
        self.sent: list[tuple[int, Message]] = []
        self.run_id = 1
        self.approve = approve
        self._out: dict[str, Message] = {}
        self._number = 0

    def restart(self, node: int) -> None:
        """The site's process restarts: it knows what is on its disk."""
        site = self.sites[node]
        site.context, site.online = None, True
        site.starts += 1

    def new_run(self) -> None:
        """Another `flwr run` over the same sites."""
        self.run_id += 1
        self._out.clear()
        for site in self.sites.values():
            site.context = None

    def get_nodes(self) -> list[SimpleNamespace]:  # type: ignore[override]
        return [
            SimpleNamespace(
                node_id=node, last_activated_at=str(site.starts), public_key=public_key(node)
            )
            for node, site in self.sites.items()
            if site.online
        ]

    def get_node_ids(self) -> list[int]:
        return [info.node_id for info in self.get_nodes()]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        names = []
        for message in messages:
            self._number += 1
            name = f"message {self._number}"
            message.metadata.__dict__["_message_id"] = name
            self._out[name] = message
            names.append(name)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = []
        for name in message_ids:
            message = self._out.get(name)
            if message is None:
                continue
            node = message.metadata.dst_node_id
            site = self.sites[node]
            if not site.online:
                del self._out[name]
                replies.append(Message(Error(GONE, "the node is away"), reply_to=message))
                continue
            what = self.happening(self, node, message)
            if what == "lost":
                del self._out[name]
                continue
            reply = self._answer(site, node, message)
            if what == "unanswered":
                del self._out[name]
                continue
            del self._out[name]
            self.sent.append((node, reply))
            replies.append(reply)
        return replies

    def _answer(self, site: FakeNode, node: int, message: Message) -> Message:
        if site.context is None:
            site.context = Context(
                run_id=self.run_id,
                node_id=node,
                node_config=site.config,
                state=RecordDict(),
                run_config={},
            )
        self.answered.append((message.metadata.message_type, node))
        try:
            reply = site.app(message, site.context)
        except Exception as error:
            reason = f"{type(error)}:<'{error}'>"
            reply = Message(Error(RAISED, reason), reply_to=message)
        reply.metadata.__dict__["_src_node_id"] = node
        told = {} if reply.has_error() else reply.content.config_records.get("config", {})
        if self.approve and told.get("waiting", False):
            approve_all(Path(str(site.config["site-folder"])))
        return reply

    def send_and_receive(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
        raise AssertionError("sites are not asked without a policy for those that go away")

    def create_message(self, *_: object, **__: object) -> Message:  # type: ignore[override]
        raise AssertionError("not used")

    def set_run(self, run: Run) -> None:
        raise AssertionError("not used")

    @property
    def run(self) -> Run:
        raise AssertionError("not used")


def approve_all(site_folder: Path) -> None:
    """Approve, as a site's operator, exactly what is asked for and was never approved."""
    approvals = Approvals(site_folder)
    for asked in approvals.all():
        if approvals.approval(asked.run) is None:
            approvals.approve(asked.run)


@lru_cache
def public_key(node: int) -> bytes:
    """The registered key of a node, as Flower has it: always the same."""
    key = ec.derive_private_key(node + 1, ec.SECP384R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_sites_file(path: Path, countries: Mapping[str, int]) -> Path:
    """The server's file that binds each country to the key of a node."""
    lines = [
        f"{json.dumps(country)}: {fingerprint_of_node(public_key(node))}\n"
        for country, node in countries.items()
    ]
    path.write_text("".join(lines))
    return path


def config_of(
    country: str, registry: Path, folder: Path, **more: str | int
) -> dict[str, str | int]:
    """A site's node configuration."""
    return {
        "country": country,
        "registry-folder": str(registry),
        "site-folder": str(folder),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
