"""A SuperNode's messages are answered by a child each, within limits; foreign apps by a refusal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.supercore.constant import TaskType

from ms_pfl.deployment import client_process
from ms_pfl.deployment.client_process import Limits, answer_task
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.supernode import LostTaskError, SuperNode, Task
from ms_pfl.federation.flower import ClientApp, Context, Message, RecordDict, to_arrays, to_record
from runtime_api import SECRET, RuntimeApi, fab_of_this_project, runtime_api

FAB = fab_of_this_project()
ARRAYS = {"x": np.arange(6.0).reshape(2, 3)}


@pytest.fixture
def node() -> Iterator[RuntimeApi]:
    with runtime_api() as node:
        yield node


class Site:
    """An app that does as a test says, and leaves a trace of each process that it ran in."""

    def __init__(self, folder: Path, node: RuntimeApi, does: str) -> None:
        self.folder, self.node, self.does = folder, node, does
        self.app = ClientApp()
        self.app.train()(self._train)

    def _train(self, message: Message, context: Context) -> Message:
        (self.folder / f"ran-{os.getpid()}").touch()
        context.state["kept"]["n"] = 2
        match self.does:
            case "answer":
                arrays = to_arrays(message.content["arrays"])
                reply = {name: array + 1 for name, array in arrays.items()}
                return Message(RecordDict({"arrays": to_record(reply)}), reply_to=message)
            case "raise":
                raise ValueError("no such seed")
            case "sleep":
                time.sleep(60)
            case "memory":
                held = [bytearray(2**28) for _ in range(400)]
                raise AssertionError(len(held))
            case "exit":
                os._exit(3)
            case "killed":
                os.kill(os.getpid(), 9)
        raise AssertionError(self.does)

    @property
    def ran(self) -> list[int]:
        return [int(path.name[4:]) for path in self.folder.glob("ran-*")]

    def refused(self) -> list[dict[str, object]]:
        path = self.folder / "log" / "security.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["facts"] for line in lines]

    def take(self) -> Task:
        task = SuperNode(self.node.address, SECRET).take()
        assert task is not None
        return task

    def serve(self, limits: Limits | None = None) -> None:
        log = SecurityLog(self.folder / "log")
        answer_task(self.take(), self.app, limits or Limits(), log, "Turkey")


def test_the_installed_app_answers(node: RuntimeApi, tmp_path: Path) -> None:
    site = Site(tmp_path, node, "answer")
    asked = node.ask(ARRAYS, FAB, TaskType.CLIENT_APP)
    site.serve()
    reply = node.answer()
    assert reply.metadata.reply_to_message_id == asked
    np.testing.assert_array_equal(to_arrays(reply.content["arrays"])["x"], ARRAYS["x"] + 1)
    assert node.kept == 2
    assert node.task_ended == ("completed", "")
    (pid,) = site.ran
    assert pid != os.getpid()
    assert SuperNode(node.address, SECRET).take() is None, "there was one task"


@pytest.mark.parametrize(
    ("does", "limits", "wanted"),
    [
        ("raise", {}, "<class 'ValueError'>:<'no such seed'>"),
        ("sleep", {"seconds": 0.5}, "Turkey has no answer: it took longer than its limit, 0.5 sec"),
        ("memory", {"memory_gib": 2}, "it needed more memory than its limit, 2 GiB"),
        ("exit", {}, "Turkey has no answer: its process has ended with code 3"),
        ("killed", {}, "Turkey has no answer: the system has ended it (is the machine short"),
    ],
)
def test_what_is_no_answer(
    does: str, limits: dict[str, float], wanted: str, node: RuntimeApi, tmp_path: Path
) -> None:
    site = Site(tmp_path, node, does)
    node.ask(ARRAYS, FAB, TaskType.CLIENT_APP)
    began = time.monotonic()
    site.serve(Limits(**limits))
    assert time.monotonic() - began < 20
    reply = node.answer()
    assert reply.error.reason.startswith(wanted)
    assert node.kept == 1, "what the client keeps stays as it was"
    (pid,) = site.ran
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("does", "reason"), [("answer", ""), ("memory", "it needed more memory than its limit, 2 GiB")]
)
def test_memory_of_the_parent_does_not_count(
    does: str, reason: str, node: RuntimeApi, tmp_path: Path
) -> None:
    held = np.empty(3 * 2**27)  # 3 GiB that a child inherits
    site = Site(tmp_path, node, does)
    node.ask(ARRAYS, FAB, TaskType.CLIENT_APP)
    site.serve(Limits(seconds=60, memory_gib=2))
    reply = node.answer()
    assert held.nbytes == 3 * 2**30
    assert (reply.error.reason if reply.has_error() else "") == reason


FOREIGN = {
    "component": fab_of_this_project(
        change=('clientapp = "ms_pfl.deployment.site:app"', 'clientapp = "evil:app"')
    ),
    "name": fab_of_this_project(change=('name = "ms-pfl"', 'name = "evil"')),
    "bytes": b"PK\x03\x04",
}


@pytest.mark.parametrize("kind", [*FOREIGN, "agent"])
def test_a_foreign_app_is_refused_and_nothing_runs(
    kind: str, node: RuntimeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_process, "_in_a_child", None)
    site = Site(tmp_path, node, "answer")
    node.ask(
        ARRAYS, FOREIGN.get(kind, FAB),
        TaskType.AGENT_APP if kind == "agent" else TaskType.CLIENT_APP,
    )  # fmt: skip
    site.serve()
    reason = node.answer().error.reason
    assert reason.startswith("Turkey starts ms-pfl 0.1.0 alone: ")
    assert reason.endswith("; nothing was started")
    assert reason.isprintable()
    assert site.ran == []
    assert node.kept == 1
    (noted,) = site.refused()
    assert (noted["what"], noted["run"]) == ("app", 77)
    assert node.task_ended[0] == "failed"


def test_only_the_holder_of_the_secret_takes_a_task(node: RuntimeApi) -> None:
    node.ask(ARRAYS, FAB, TaskType.CLIENT_APP)
    for secret in (b"another", b""):
        assert SuperNode(node.address, secret or b"x").take() is None
    assert SuperNode(node.address, SECRET).take() is not None


def test_nobody_listens() -> None:
    assert SuperNode("127.0.0.1:1", SECRET).take() is None


def test_a_task_that_nobody_waits_for(node: RuntimeApi, tmp_path: Path) -> None:
    site = Site(tmp_path, node, "sleep")
    node.ask(ARRAYS, FAB, TaskType.CLIENT_APP)
    task = site.take()
    node.state.finish_task(  # type: ignore[attr-defined]
        task.given.task_id, sub_status="stopped", details=""
    )
    with pytest.raises(LostTaskError):
        answer_task(task, site.app, Limits(), SecurityLog(tmp_path / "log"), "Turkey")
    assert not [pid for pid in site.ran if Path(f"/proc/{pid}").exists()]


def test_a_task_that_was_left_behind_does_not_hold_up_the_next(
    node: RuntimeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_process, "_SECONDS_BETWEEN_LOOKS_AT_WORK", 0.1)
    site = Site(tmp_path, node, "answer")
    behind = node.ask(ARRAYS, FAB, TaskType.CLIENT_APP)
    store = node.state.object_store  # type: ignore[attr-defined]
    for name in list(store.store):  # its content is announced, and does not come
        store.store[name].content = b""
        store.store[name].is_available = False
    task = site.take()
    log = SecurityLog(tmp_path / "log")
    asked = node.ask({"x": np.ones(3)}, FAB, TaskType.CLIENT_APP)
    with pytest.raises(client_process.SupersededError) as caught:
        answer_task(task, site.app, Limits(), log, "Turkey", SuperNode(node.address, SECRET).take)
    task.drop("left behind")
    answer_task(caught.value.newer, site.app, Limits(), log, "Turkey")
    (reply,) = node.state.get_messages_legacy(is_reply=True)  # type: ignore[attr-defined]
    assert reply.metadata.reply_to_message_id == asked != behind


def test_a_log_that_cannot_be_written_changes_no_refusal(
    node: RuntimeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_text("no folder")
    site = Site(tmp_path, node, "answer")
    node.ask(ARRAYS, FOREIGN["name"], TaskType.CLIENT_APP)
    site.serve()
    assert node.answer().has_error()
    assert "The security log cannot be written" in caplog.text
