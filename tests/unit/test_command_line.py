"""The text of --params: lists are read, and what is written is read as it was."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl import cli
from ms_pfl.command_line import run_command


def read(text: str) -> dict[str, Any]:
    """What `kedro run --params=...` makes of a text."""
    context = cli.run.make_context("run", [f"--params={text}"])
    return context.params["params"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeds=[0,1],device=cpu", {"seeds": [0, 1], "device": "cpu"}),
        ("a.b=0, c.d = 3", {"a": {"b": 0}, "c": {"d": 3}}),
        ("a={b: 1, c: 2},d=null", {"a": {"b": 1, "c": 2}, "d": None}),
        ("folder='/data/a, b',x=1", {"folder": "/data/a, b", "x": 1}),
        ("ingest.missing=[\"n,a\",'?']", {"ingest": {"missing": ["n,a", "?"]}}),
        ("folder=/data/a[1,x=1", {"folder": "/data/a[1", "x": 1}),
        ("name=Côte d'Ivoire,x=1", {"name": "Côte d'Ivoire", "x": 1}),
        ("", {}),
    ],
)  # fmt: skip
def test_lists_and_quotes_are_read(text: str, expected: dict[str, Any]) -> None:
    assert read(text) == expected


def test_an_item_without_a_value_is_named() -> None:
    with pytest.raises(click.UsageError, match="Item `b` must contain a key and a value"):
        read("a=1,b")
    with pytest.raises(click.UsageError, match="cannot be an empty string"):
        read("=1")


_KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(-10, 10).map(lambda number: round(number, 3)),
    _TEXTS.filter(lambda text: "${" not in text),
)  # fmt: skip


@given(
    st.dictionaries(
        _KEYS,
        st.one_of(
            _VALUES,
            st.lists(_VALUES, max_size=3),
            st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=2),
        ),
        max_size=3,
    )
)  # fmt: skip
def test_a_command_is_read_as_the_parameters_that_it_was_written_from(
    parameters: dict[str, Any],
) -> None:
    words = shlex.split(run_command("recording", "smoke", parameters))
    assert words[:4] == ["kedro", "run", "--pipeline=recording", "--env=smoke"]
    assert read("".join(words[4:]).removeprefix("--params=")) == parameters


def test_a_defect_is_three_lines_with_its_traceback_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def broken() -> None:
        raise KeyError("no such\ncolumn")

    command = cli.RunCommand("run", callback=broken)
    done = CliRunner().invoke(command)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Error: KeyError: 'no such\\ncolumn' (test_command_line.py:")
    assert "defect of the program" in lines[1]
    assert lines[2] == f"Traceback: {tmp_path}/failure.log"
    log = (tmp_path / "failure.log").read_text()
    assert 'raise KeyError("no such\\ncolumn")' in log
    monkeypatch.setenv("MS_PFL_TRACEBACK", "1")
    done = CliRunner().invoke(command)
    assert "Traceback (most recent call last)" in done.output
    assert 'raise KeyError("no such\\ncolumn")' in done.output


def test_where_the_project_cannot_be_written_to_the_log_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, temporary = tmp_path / "project", tmp_path / "tmp"
    (project / "failure.log").mkdir(parents=True)
    temporary.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def broken() -> None:
        raise IndexError

    command = cli.RunCommand("run", callback=broken)
    log = temporary / f"ms_pfl-{os.getpid()}-failure.log"
    assert CliRunner().invoke(command).output.splitlines()[2] == f"Traceback: {log}"
    assert "IndexError" in log.read_text()
    log.unlink()
    log.mkdir()
    last = CliRunner().invoke(command).output.splitlines()[2]
    assert last == "MS_PFL_TRACEBACK=1 shows the traceback"
    assert list(project.iterdir()) == [project / "failure.log"]


def test_a_broken_file_of_options_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "options.yml").write_text("run: {pipeline: pfl\nenv: ]")
    done = CliRunner().invoke(cli.run, [f"--config={tmp_path}/options.yml"])
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: {tmp_path}/options.yml, line 2: ")
