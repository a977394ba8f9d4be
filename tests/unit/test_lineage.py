"""The ledger of what files were made from, and what does not fit together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ms_pfl.lineage import (
    Conflict,
    Ledger,
    Origin,
    Record,
    combine,
    conflicts,
    content_digest,
    first_difference,
    stamp,
)


def record(digest: str, **files: str) -> Record:
    return Record(digest, "1 2", "a_node", "code", Origin(files, {"seeds": "s"}))


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "data" / "provenance.jsonl")
    assert ledger["summary"] is None
    digest = ledger.digest_of({"b": (1, 2), "a": None})
    ledger.add("summary", record("x", metrics="m"))
    ledger.add("summary", record("y", metrics="n"))
    again = Ledger(tmp_path / "data" / "provenance.jsonl")
    assert again["summary"] == record("y", metrics="n")
    assert again.value(digest) == {"a": None, "b": [1, 2]}


def test_a_line_that_a_kill_cut_short_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "provenance.jsonl"
    ledger = Ledger(path)
    ledger.add("one", record("x"))
    ledger.add("two", record("y"))
    path.write_text(path.read_text()[:-20])
    cut = Ledger(path)
    assert (cut["one"], cut["two"]) == (record("x"), None)
    cut.add("three", record("z"))
    assert Ledger(path)["three"] == record("z")


def test_compacting_keeps_the_latest_record_and_the_values_in_use(tmp_path: Path) -> None:
    path = tmp_path / "provenance.jsonl"
    ledger = Ledger(path)
    used, unused = ledger.digest_of([0, 1]), ledger.digest_of([2])
    ledger.add("one", Record("x", "1 2", "n", "c", Origin({}, {"seeds": unused})))
    ledger.add("one", Record("y", "1 2", "n", "c", Origin({}, {"seeds": used})))
    ledger.compact()
    again = Ledger(path)
    assert again["one"] == Record("y", "1 2", "n", "c", Origin({}, {"seeds": used}))
    assert (again.value(used), again.value(unused)) == ([0, 1], None)
    assert len(path.read_text().splitlines()) == 2


def test_a_digest_is_of_the_content_and_not_of_the_times(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a")
    before, was = content_digest(file), stamp(file)
    os.utime(file, (1, 1))
    assert content_digest(file) == before
    assert stamp(file) != was
    file.write_text("b")
    assert content_digest(file) != before


def test_a_digest_of_a_folder_is_of_all_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "predictor"
    (folder / "inner").mkdir(parents=True)
    assert stamp(folder) is None
    (folder / "inner/a").write_text("1")
    (folder / "b").write_text("2")
    digests = {content_digest(folder)}
    (folder / "b").rename(folder / "c")
    digests.add(content_digest(folder))
    (folder / "inner/a").write_text("3")
    digests.add(content_digest(folder))
    assert len(digests) == 3
    assert stamp(tmp_path / "absent") is None


def test_conflicts_name_the_versions_and_who_was_made_from_them() -> None:
    origins = {
        "metrics": Origin({"metrics": "m", "episodes": "1"}, {"seeds": "a"}),
        "episodes": Origin({"episodes": "2"}, {"seeds": "a"}),
        "history": Origin({"history": "h", "episodes": "1"}, {"seeds": "b"}),
    }
    assert conflicts(origins) == [
        Conflict("file", "episodes", {"1": ("metrics", "history"), "2": ("episodes",)}),
        Conflict("setting", "seeds", {"a": ("metrics", "episodes"), "b": ("history",)}),
    ]
    assert conflicts({name: origins[name] for name in ("metrics",)}) == []


def test_a_step_is_made_from_all_that_its_inputs_are_made_from() -> None:
    one, other = Origin({"a": "1"}, {"x": "2"}), Origin({"b": "3"}, {})
    assert combine([one, other]) == Origin({"a": "1", "b": "3"}, {"x": "2"})


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ([0, 1], [0], ("seeds", [0, 1], [0])),
        ({"a": 1}, {"a": 1, "b": None}, ("seeds", {"a": 1}, {"a": 1, "b": None})),
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, ("seeds.b.c", 2, 3)),
        ({"a": 1}, None, ("seeds", {"a": 1}, None)),
    ],
)
def test_the_first_difference_of_two_settings(one: object, other: object, found: object) -> None:
    assert first_difference(one, other, "seeds") == found
