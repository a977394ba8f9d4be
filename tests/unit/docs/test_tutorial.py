"""docs/tutorial.md, followed word by word in a copy of the project (slow: it trains)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from kedro_project import PROJECT, make_project
from ms_pfl.parameters import Parameters
from parameter_examples import load
from shown_commands import commands

PAGE = (PROJECT / "docs/tutorial.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only block of the page in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


def steps() -> list[str]:
    """The commands of the page in their order, after the environment has been made."""
    shown = [one for one in commands(PAGE) if one.startswith(("kedro run", "python "))]
    return list(dict.fromkeys(shown))


def test_the_steps_are_those_of_the_page() -> None:
    assert steps() == [
        "kedro run --pipeline=synthetic_registry --env=smoke",
        "python make_tables.py",
        "kedro run --pipeline=preprocessing --params=registry_folder=my_tables",
        "kedro run --pipeline=preprocessing",
        "kedro run",
        "kedro run --pipeline=prediction",
    ]


def test_its_settings_are_parameters() -> None:
    given = OmegaConf.merge(load("base"), yaml.safe_load(block("yaml")))
    told = Parameters.model_validate(OmegaConf.to_container(given))
    assert told.ingest.columns == {"visits": {"EDSS_TOTAL": "EDSS"}}
    assert told.seeds == (0, 1)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_tutorial(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (tmp_path / "make_tables.py").write_text(block("python"), encoding="utf-8")
    local = tmp_path / "conf/local/parameters.yml"
    local.parent.mkdir(exist_ok=True)

    def run(command: str) -> subprocess.CompletedProcess[str]:
        program, *words = shlex.split(command)
        if program == "kedro":
            return project.kedro(*words, timeout=2800)
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=os.environ,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for command in steps():
        done = run(command)
        if "--params=registry_folder" in command:
            assert done.returncode == 1
            (error,) = (one for one in done.stderr.splitlines() if one.startswith("Error: "))
            shown, _, rest = block("text").strip().partition(".../")
            assert error.startswith(shown)
            assert error.endswith(rest)
            local.write_text(block("yaml"), encoding="utf-8")
        else:
            assert done.returncode == 0, done.stdout + done.stderr
        if command == "kedro run --pipeline=preprocessing":
            assert "3,107 episodes of 278 patients in 32 countries, 16.7 %" in done.stdout
        if command == "kedro run":
            assert "Table 1" in done.stdout
            assert (tmp_path / "data/08_reporting/report.html").is_file()
    risks = pd.read_csv(tmp_path / "data/07_model_output/new_patients.csv")
    assert len(risks) == 600
    assert risks["risk"].between(0, 1).any()
