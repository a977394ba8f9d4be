"""One process at a time in a folder, with real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ms_pfl.errors import InputError
from ms_pfl.folder_lock import hold

HOLDER = """
import subprocess, sys
from pathlib import Path
from ms_pfl.folder_lock import hold

lock = hold(Path(sys.argv[1]), "kedro run")
number = 0
if sys.argv[2] == "with a child":
    number = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False).pid
print(number, flush=True)
for line in sys.stdin:
    lock.release()
    print("released", flush=True)
"""


class Holder:
    """Another process that holds the lock of a folder."""

    def __init__(self, folder: Path, how: str = "alone") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.child = int(self.read())

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("release\n")
        self.process.stdin.flush()
        assert self.read() == "released"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a 'new' {folder}"
    holder = Holder(folder)
    try:
        with pytest.raises(InputError) as caught:
            hold(folder, "the server", "name another output")
        host = re.escape(socket.gethostname())
        pattern = (
            rf"kedro run runs already in {re.escape(str(folder))}: process {holder.process.pid} on "
            rf"{host}, started \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d; "
            "wait for its end, or name another output"
        )
        assert re.fullmatch(pattern, str(caught.value)), str(caught.value)
    finally:
        holder.kill()


def test_the_lock_goes_with_a_killed_process_and_not_to_its_children(tmp_path: Path) -> None:
    holder = Holder(tmp_path, "with a child")
    try:
        holder.kill()
        hold(tmp_path, "kedro run").release()
    finally:
        os.kill(holder.child, signal.SIGKILL)


def test_a_released_folder_is_free_and_its_file_says_nothing(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    try:
        holder.release()
        assert (tmp_path / ".lock").read_bytes() == b""
        lock = hold(tmp_path, "kedro run")
        told = json.loads((tmp_path / ".lock").read_text())
        assert (told["pid"], told["host"], told["what"]) == (
            os.getpid(), socket.gethostname(), "kedro run",
        )  # fmt: skip
        with pytest.raises(InputError, match=f"process {os.getpid()} on"):
            hold(tmp_path, "kedro run")
        lock.release()
        lock.release()
        hold(tmp_path, "kedro run").release()
    finally:
        holder.kill()


def test_a_shorter_description_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(json.dumps({"pid": 1, "what": "x" * 500}))
    lock = hold(tmp_path, "kedro run")
    assert json.loads((tmp_path / ".lock").read_text())["what"] == "kedro run"
    lock.release()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file cannot be written \(File exists\); name a folder"):
        hold(tmp_path / "file", "kedro run")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / ".lock").mkdir()
    with pytest.raises(InputError, match=r"closed cannot be written \(Is a directory\)"):
        hold(tmp_path / "closed", "kedro run")
