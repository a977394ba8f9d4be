"""Whatever the data hold, the terminal and the log show printable lines."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable

import click
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kedro_project import PROJECT
from ms_pfl import console
from ms_pfl.cli import at_most_three_lines
from ms_pfl.deployment import log_to_stdout
from ms_pfl.errors import InputError
from ms_pfl.failures import explain
from ms_pfl.log_text import PrintableMessages, line, lines, print_messages_only
from ms_pfl.names import normal
from ms_pfl.reporting.table1 import ConsoleTable

NASTY = ["Peru [/bold]", "[red]", "\x1b[2J\x1b[31mall is well", "a\rb", "x\x9b31m", "\u202egnirts",
         ":smile:", "a\x07", "[link=http://a]b[/link]", "[", "\\[bold]", "a\x00b"]  # fmt: skip
nasty = st.sampled_from(NASTY) | st.text(max_size=20)


def printable(text: str) -> bool:
    return all(one.isprintable() for one in text.split("\n"))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What a console of 200 columns shows, as a terminal gets it."""
    out = io.StringIO()
    whole = Console(file=out, width=200)
    monkeypatch.setattr(console, "get_console", lambda: whole)
    return out.getvalue


@pytest.mark.parametrize("name", NASTY)
def test_tables_and_lines_show_names_as_they_are(name: str, screen: Callable[[], str]) -> None:
    console._print(f"1 patient of {name}.")
    console._print_table("t", [{"Country": name, name: "1"}], ["Country"])
    console.show_results(
        pd.DataFrame({"Model": [name], f"{name} pooled": ["0.812"]}), [f"Few: {name}."], [name]
    )
    told = screen()
    assert printable(told)
    assert told.count(line(name)) >= 6


@given(nasty, nasty)
def test_any_table_1_is_printed(model: str, note: str) -> None:
    out = io.StringIO()
    table = pd.DataFrame({"Model": [model], "ROC-AUC pooled": ["0.812"]})
    Console(file=out, width=200).print(ConsoleTable(table, [note]), highlight=False)
    assert printable(out.getvalue())


@given(nasty)
def test_names_hold_no_control_character(name: str) -> None:
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in normal(name))


def test_a_message_is_one_line_and_markup_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    print_messages_only()
    print_messages_only()
    assert len(handler.filters) == 1
    monkeypatch.setattr(logging.getLogger("ms_pfl"), "propagate", True)
    for name in NASTY:
        logging.getLogger("ms_pfl.x").warning("of %s\nroot: all is well", name)
    logging.getLogger("other").warning("two\nlines\x1b[2J")
    logging.getLogger("ms_pfl.x").warning("100 %")
    assert out.getvalue().split("\n") == [
        *(f"of {line(name)}\\nroot: all is well" for name in NASTY), "two", "lines\\x1b[2J",
        "100 %", "",
    ]  # fmt: skip


def test_a_run_filters_what_its_handlers_show() -> None:
    """In a process of its own, as Kedro configures logging when it is imported."""
    code = (
        "from kedro.framework.project import configure_project; configure_project('ms_pfl');"
        "from kedro.framework.project import settings; settings.HOOKS; import logging;"
        "logging.getLogger('ms_pfl.x').warning('a [/bold]\\x1b[2J\\nb')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert "a [/bold]\\x1b[2J\\nb" in done.stdout + done.stderr
    assert "\x1b[2J" not in done.stdout + done.stderr


def test_a_message_with_wrong_arguments_does_not_stop_the_run() -> None:
    record = logging.LogRecord("ms_pfl", 30, "", 1, "%d", ("x",), None)
    assert PrintableMessages().filter(record)


def test_the_apps_log_is_filtered_too() -> None:
    logger = logging.getLogger("ms_pfl")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = []
    try:
        log_to_stdout()
        (handler,) = logger.handlers
        assert any(isinstance(one, PrintableMessages) for one in handler.filters)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before


@given(nasty)
def test_an_error_is_one_printable_line(name: str) -> None:
    said = explain(InputError(f"{name} is unknown"))
    assert said is not None
    assert said.isprintable()
    for error in (click.ClickException(f"{name}\nand more"), InputError(name), ValueError(name)):
        with pytest.raises(click.ClickException) as caught, at_most_three_lines():
            raise error
        assert printable(caught.value.format_message())


def test_lines_of_the_program_stay_lines() -> None:
    assert lines("a\tb\n\x1b[2Jc") == "a       b\n\\x1b[2Jc"
