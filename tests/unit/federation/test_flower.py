"""What is private to Flower, and the identity and silence it is given."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ms_pfl.federation.flower import Message, RecordDict, name_message, take_identity


def test_flower_gets_its_identity_and_says_nothing() -> None:
    """In a fresh process: no message without identity, one with it; no handler of Flower's."""
    code = """
import logging
from ms_pfl.federation import flower as engine
assert not logging.getLogger("flwr").handlers
make = lambda: engine.Message(engine.RecordDict(), dst_node_id=1, message_type="train")
try:
    make()
except RuntimeError as error:
    assert "TaskIdentity" in str(error), error
else:
    raise SystemExit("Flower no longer needs an identity: drop take_identity")
engine.take_identity()
assert make().metadata.run_id == 1
engine.TaskIdentity.run_id = 7
engine.take_identity()
assert make().metadata.run_id == 7, "an identity that Flower gave is left alone"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_message_gets_the_id_that_its_reply_names() -> None:
    take_identity()
    message = Message(RecordDict(), message_type="train", dst_node_id=1)
    assert message.metadata.message_id == ""
    with pytest.raises(AttributeError):
        message.metadata.message_id = "m7"  # type: ignore[misc]  # else name_message can go
    name_message(message, "m7")
    assert Message(RecordDict(), reply_to=message).metadata.reply_to_message_id == "m7"
