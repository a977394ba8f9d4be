"""A SuperNode's Runtime API in this process, with Flower's own state behind it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from flwr.cli.build import build_fab_from_files
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory
from flwr.supernode.start_client_internal import _insert_message

from ms_pfl.federation.flower import (
    ConfigRecord,
    Context,
    Message,
    RecordDict,
    Run,
    take_identity,
    to_record,
)
from network_examples import PROJECT, free_port

SECRET = b"0123456789abcdef"
RUN_ID, NODE_ID = 77, 907


def fab_of_this_project(**changes: tuple[str, str]) -> bytes:
    """The FAB that `flwr run` makes; ``old="..." -> new`` changes its pyproject.toml."""
    text = (PROJECT / "pyproject.toml").read_text()
    for before, after in changes.values():
        assert before in text
        text = text.replace(before, after)
    files = {"pyproject.toml": text.encode(), "LICENSE": (PROJECT / "LICENSE").read_bytes()}
    return build_fab_from_files(files)[0]


@dataclass
class RuntimeApi:
    """The state of a SuperNode that serves it at an address."""

    address: str
    state: object

    def ask(self, arrays: dict[str, object], fab: bytes, kind: TaskType) -> str:
        """Put a message before whoever takes tasks; returns its id."""
        state = self.state
        run = Run.create_empty(RUN_ID)
        run.fab_id, run.fab_version, run.series_id = "ms-pfl/ms-pfl", "0.1.0", 5
        run.fab_hash = hashlib.sha256(fab).hexdigest()
        context = Context(
            run_id=RUN_ID, node_id=NODE_ID, node_config={"country": "Turkey"}, series_id=5,
            state=RecordDict({"kept": ConfigRecord({"n": 1})}), run_config={},
        )  # fmt: skip
        state.set_node_id(NODE_ID)  # type: ignore[attr-defined]
        state.set_run_series_context(5, context)  # type: ignore[attr-defined]
        state.store_run(run)  # type: ignore[attr-defined]
        state.store_fab(Fab(run.fab_hash, fab, {}))  # type: ignore[attr-defined]
        take_identity()
        message = Message(
            RecordDict({"arrays": to_record(arrays)}),  # type: ignore[arg-type]
            dst_node_id=NODE_ID,
            message_type="train",
        )
        message.metadata.__dict__.update(_run_id=RUN_ID, _src_node_id=1)
        task = state.create_task(task_type=kind, run_id=RUN_ID, fab_hash=run.fab_hash)  # type: ignore[attr-defined]
        assert task is not None
        _insert_message(message, state, state.object_store)  # type: ignore[attr-defined]
        return str(message.metadata.message_id)

    def answer(self) -> Message:
        """The answer that was given."""
        (reply,) = self.state.get_messages_legacy(is_reply=True)  # type: ignore[attr-defined]
        if not reply.has_error():
            store = self.state.object_store  # type: ignore[attr-defined]
            name = reply.metadata.message_id
            ids = [tree.object_id for tree in iterate_object_tree(store.get_object_tree(name))]
            reply = inflate_object_from_contents(name, {one: store.get(one) for one in ids})
        return reply

    @property
    def kept(self) -> object:
        """What the client keeps."""
        return self.state.get_run_series_context(5).state["kept"]["n"]  # type: ignore[attr-defined]

    @property
    def task_ended(self) -> tuple[str, str]:
        """How the last task ended, and why."""
        (task,) = self.state.get_tasks()  # type: ignore[attr-defined]
        return task.status.sub_status, task.status.details


@contextmanager
def runtime_api(secret: bytes | None = SECRET) -> Iterator[RuntimeApi]:
    factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(factory, secret), host="127.0.0.1", port=port, log_level="critical"
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield RuntimeApi(f"127.0.0.1:{port}", factory.state())
    finally:
        server.should_exit = True
        thread.join(20)
