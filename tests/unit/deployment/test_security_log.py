import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.deployment.security_log import (
    Entry,
    Event,
    SecurityLog,
    TamperedLogError,
    Verified,
    verify,
)
from ms_pfl.errors import InputError

FACTS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
        lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(), held, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@pytest.fixture
def log(tmp_path: Path) -> SecurityLog:
    return SecurityLog(tmp_path / "site")


def _lines(log: SecurityLog) -> list[str]:
    return log.path.read_text().splitlines()


def _filled(log: SecurityLog, lines: int = 5) -> list[str]:
    return [log.note("asked", question="train", round=number) for number in range(1, lines + 1)]


def test_a_line_has_the_fields_of_the_schema(log: SecurityLog) -> None:
    digest = log.note("sent", run=7, arrays={"weight": [64, 42]}, roc_auc=float("nan"))
    (line,) = map(json.loads, _lines(log))
    assert line["number"] == 1
    assert line["event"] == "sent"
    assert line["facts"] == {"run": 7, "arrays": {"weight": [64, 42]}, "roc_auc": "nan"}
    assert line["time"].endswith("+00:00")
    assert line["previous"] == ""
    assert line["digest"] == digest == log.digest


def test_each_line_names_the_one_before(log: SecurityLog) -> None:
    digests = _filled(log)
    told = [json.loads(line) for line in _lines(log)]
    assert [line["digest"] for line in told] == digests
    assert [line["previous"] for line in told] == ["", *digests[:-1]]
    assert verify(log.path.parent) == Verified(5, 1, digests[-1])


def test_the_owner_alone_may_read_it(log: SecurityLog) -> None:
    _filled(log)
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_text_from_elsewhere_makes_no_line_of_its_own(log: SecurityLog) -> None:
    log.note("refused", reason='\n{"number": 2}\x1b[31m' + "x" * 5000)
    (line,) = _lines(log)
    assert "\x1b" not in line
    assert len(line) < 1500


@given(facts=st.lists(FACTS, min_size=1, max_size=3))
def test_whatever_is_noted_can_be_verified(
    facts: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = SecurityLog(tmp_path_factory.mktemp("log"))
    for held in facts:
        log.note("asked", **held)
    assert verify(log.path.parent).lines == len(facts)


@given(data=st.data())
def test_a_change_of_any_line_is_found(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = SecurityLog(tmp_path_factory.mktemp("log"))
    _filled(log)
    text = log.path.read_text()
    place = data.draw(st.integers(0, len(text) - 2))
    letter = data.draw(st.characters(codec="ascii").filter(lambda a: a != text[place]))
    log.path.write_text(text[:place] + letter + text[place + 1 :])
    with pytest.raises(TamperedLogError):
        verify(log.path.parent)


@pytest.mark.parametrize("line", [0, 1, 3])
def test_a_line_that_is_removed_is_found(log: SecurityLog, line: int) -> None:
    _filled(log)
    lines = _lines(log)
    del lines[line]
    log.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TamperedLogError, match="removed"):
        verify(log.path.parent)


def test_a_line_that_is_inserted_is_found(log: SecurityLog) -> None:
    _filled(log)
    lines = _lines(log)
    log.path.write_text("\n".join([*lines[:2], lines[1], *lines[2:]]) + "\n")
    with pytest.raises(TamperedLogError, match="line 3: it does not follow the line before"):
        verify(log.path.parent)


def test_a_second_value_of_the_same_name_is_found(log: SecurityLog) -> None:
    """JSON takes the last of two, a reader the first."""
    _filled(log, 1)
    log.path.write_text(log.path.read_text().replace('{"number"', '{"event":"ended","number"'))
    with pytest.raises(TamperedLogError, match="changed"):
        verify(log.path.parent)


def test_a_cut_end_is_found_by_the_digest_that_the_other_end_keeps(log: SecurityLog) -> None:
    digests = _filled(log)
    lines = _lines(log)
    log.path.write_text("\n".join(lines[:-1]) + "\n")
    assert verify(log.path.parent).lines == 4  # nothing in the file tells
    with pytest.raises(TamperedLogError, match="cut off at its end, or it was rewritten"):
        verify(log.path.parent, digests[-1])


def test_a_log_that_was_written_anew_is_found(log: SecurityLog) -> None:
    digests = _filled(log)
    log.path.unlink()
    _filled(log)
    with pytest.raises(TamperedLogError):
        verify(log.path.parent, digests[2])


def test_a_log_that_went_on_has_the_digest_of_earlier(log: SecurityLog) -> None:
    digests = _filled(log)
    assert verify(log.path.parent, digests[1]).lines == 5


def test_what_a_killed_process_has_left_of_a_line_is_cut_off(log: SecurityLog) -> None:
    digests = _filled(log, 2)
    with log.path.open("a") as file:
        file.write('{"number":3,"time"')
    log.note("ended")
    assert [json.loads(line)["previous"] for line in _lines(log)] == ["", *digests]
    assert verify(log.path.parent).lines == 3


def test_nothing_follows_a_damaged_last_line(log: SecurityLog) -> None:
    _filled(log, 2)
    with log.path.open("a") as file:
        file.write("damage\n")
    with pytest.raises(TamperedLogError, match="the last line: it is no line of a security log"):
        log.note("ended")


def test_a_full_file_is_put_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = SecurityLog(tmp_path, most_bytes=1000, files=50)
    digests = _filled(log, 20)
    files = sorted(file.name for file in tmp_path.glob("security.*.jsonl"))
    assert files[0] == "security.000001.jsonl"
    assert len(files) > 2
    found = verify(tmp_path, digests[0])
    assert found.first == 1
    assert found.lines == 20 + len(files)  # each rotation is a line
    (tmp_path / files[1]).unlink()
    with pytest.raises(TamperedLogError, match="removed"):
        verify(tmp_path)


def test_old_files_go_and_the_log_says_so(tmp_path: Path) -> None:
    log = SecurityLog(tmp_path, most_bytes=1000, files=2)
    digests = _filled(log, 40)
    files = sorted(file.name for file in tmp_path.glob("security.*.jsonl"))
    assert len(files) == 2
    found = verify(tmp_path, files=2)
    assert found.first > 1
    removed = json.loads((tmp_path / files[0]).read_text().splitlines()[0])["previous"]
    assert verify(tmp_path, removed, files=2) == found, "of the last line that was removed"
    with pytest.raises(TamperedLogError, match=f"or it is of a line before {found.first}, removed"):
        verify(tmp_path, digests[0], files=2)
    (tmp_path / files[0]).unlink()
    for kept in (1, 2):
        with pytest.raises(TamperedLogError, match="lines before it were removed, and not by the"):
            verify(tmp_path, files=kept)


def _write(path: Path, last: Entry | None, event: Event, **facts: Any) -> Entry:
    """Write a line as somebody would who has the file and this module."""
    entry = Entry(
        number=1 if last is None else last.number + 1, time="", event=event, facts=facts,
        previous="" if last is None else last.digest, digest="",
    )  # fmt: skip
    entry = entry.model_copy(update={"digest": entry.expected()})
    with path.open("a") as file:
        file.write(entry.model_dump_json() + "\n")
    return entry


def _entries(path: Path) -> list[Entry]:
    return [Entry.model_validate_json(line) for line in path.read_text().splitlines()]


def test_a_forged_rotation_does_not_hide_that_a_log_was_rewritten(log: SecurityLog) -> None:
    """The line calls the digest that the other end has kept one of a removed line."""
    known = _filled(log)[-1]
    log.path.unlink()
    last = None
    for facts in ({}, {}):
        last = _write(log.path, last, "asked", **facts)
    _write(log.path, last, "rotated", **{"removed-to": 0, "removed-digest": known})
    with pytest.raises(TamperedLogError, match="line 3: a file was removed, inserted or cut here"):
        verify(log.path.parent, known)


@pytest.mark.parametrize("named", ["security.000001.jsonl", "security.000000.jsonl"])
def test_a_forged_rotation_does_not_hide_that_the_beginning_was_removed(
    log: SecurityLog, named: str
) -> None:
    digests = _filled(log)
    before = _entries(log.path)[2]
    log.path.unlink()
    facts = {"file": named, "removed-to": 3, "removed-digest": digests[2]}
    _write(log.path, before, "rotated", **facts)
    with pytest.raises(TamperedLogError):
        verify(log.path.parent)


def test_a_file_begins_with_a_line_that_names_the_one_before(log: SecurityLog) -> None:
    _filled(log)
    last = _entries(log.path)[-1]
    aside = log.path.with_name("security.000001.jsonl")
    log.path.rename(aside)
    _write(log.path, last, "asked")
    with pytest.raises(TamperedLogError, match="line 1: a file was removed, inserted or cut here"):
        verify(log.path.parent)
    log.path.unlink()
    for facts in ({"file": "security.000002.jsonl"}, {}, {"file": 1}, {"file": [1], "more": 1}):
        _write(log.path, last, "rotated", **facts)
        with pytest.raises(TamperedLogError, match="names another file than the one before"):
            verify(log.path.parent)
        log.path.unlink()
    digest = log.note("asked")  # as after a kill between the two files
    assert verify(log.path.parent) == Verified(7, 1, digest)


def test_an_empty_old_file_is_found(log: SecurityLog) -> None:
    _filled(log)
    log.path.unlink()
    log.path.with_name("security.000001.jsonl").touch()
    with pytest.raises(TamperedLogError, match="is no line of a security log"):
        log.note("asked")


def test_a_line_that_finds_no_room_leaves_nothing(
    log: SecurityLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(log, 2)
    before = log.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log.note("ended")
    assert log.path.read_bytes() == before


def test_without_a_log_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no security log"):
        verify(tmp_path)


def _note_some(folder: Path) -> None:
    for number in range(20):
        SecurityLog(folder, most_bytes=2000).note("asked", number=number, by=os.getpid())


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_note_some, args=(tmp_path,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    rotated = len(list(tmp_path.glob("security.*.jsonl")))
    assert verify(tmp_path).lines == 80 + rotated
