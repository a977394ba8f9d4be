"""Every command that the documentation shows is run by a test, or listed as not run."""

from __future__ import annotations

import re
import shlex

import pytest

from kedro_project import PROJECT
from ms_pfl import cli
from ms_pfl.deployment.commands import command_parser
from ms_pfl.parameters import Parameters
from ms_pfl.pipeline_registry import register_pipelines
from shown_commands import NOT_RUN, NOT_RUN_BEGINNINGS, RUN, commands, pages

SHOWN = {
    command: page.relative_to(PROJECT).as_posix()
    for page in pages()
    for command in commands(page.read_text(encoding="utf-8"))
}

SCHEMA = Parameters.model_json_schema()


def test_each_is_run_by_a_test_or_listed_with_the_reason() -> None:
    known = {*RUN, *NOT_RUN}
    beginnings = tuple(NOT_RUN_BEGINNINGS)
    unknown = {
        one: page
        for one, page in SHOWN.items()
        if one not in known and not one.startswith(beginnings)
    }
    assert unknown == {}
    assert not set(RUN) & set(NOT_RUN)
    assert len(NOT_RUN) == len(set(NOT_RUN))


def test_nothing_is_listed_that_no_page_shows() -> None:
    assert {*RUN, *NOT_RUN} - SHOWN.keys() == set()
    assert [one for one in NOT_RUN_BEGINNINGS if not any(c.startswith(one) for c in SHOWN)] == []


@pytest.mark.parametrize("command", RUN)
def test_the_test_that_runs_it_does(command: str) -> None:
    file, words = RUN[command]
    assert words in (PROJECT / file).read_text(encoding="utf-8")


def test_what_they_name_exists() -> None:
    """Pipelines, environments, parameters, targets, scripts and commands of a site."""
    pipelines = set(register_pipelines())
    environments = {path.name for path in (PROJECT / "conf").iterdir()} | {"NAME"}
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    (site,) = (one.choices for one in command_parser()._actions if isinstance(one.choices, dict))
    for command, page in SHOWN.items():
        words = shlex.split(command)
        where = f"{page}: {command}"
        if "kedro" in words[0] and words[1:2] == ["run"]:
            given = cli.run.make_context("run", words[2:]).params
            named = given["pipelines"] or [given["pipeline"] or "__default__"]
            assert set(named) <= pipelines, where
            assert given["env"] in {None, *environments}, where
            assert_parameters_exist(given["params"], where)
        elif words[0] == "make":
            assert {one for one in words[1:] if "=" not in one} <= set(targets), where
        elif words[1:4] == ["-m", "ms_pfl", "site"]:
            assert words[4] in site, where
        elif words[0].startswith("python") and words[1].endswith(".py") and "/" in words[1]:
            assert (PROJECT / words[1]).is_file(), where


def assert_parameters_exist(given: dict[str, object], where: str) -> None:
    def check(values: dict[str, object], node: dict[str, object]) -> None:
        for name, value in values.items():
            properties = node["properties"]
            assert isinstance(properties, dict)
            assert name in properties, f"{where}: no parameter {name}"
            target = properties[name].get("$ref", "").rpartition("/")[2]
            if isinstance(value, dict) and target:
                check(value, SCHEMA["$defs"][target])

    check(given, SCHEMA)
