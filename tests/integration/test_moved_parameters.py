"""What a person is answered who sets a parameter where it was in an earlier version."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedro_project import KedroProject, make_project, run_here, said

PLACE = "set parameters in conf/<env>/parameters*.yml or by --params"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    return make_project(tmp_path_factory.mktemp("project"))


MOVED = {
    "federated.rounds=5": (
        f"Parameter 'federated' is now 'training.federation'; set it there; {PLACE}"
    ),
    "training.learning_rate=0.1": (
        "Parameter 'training.learning_rate' is now 'training.optimizer.learning_rate'; set it "
        f"there; {PLACE}"
    ),
}


def printed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("given", MOVED)
def test_a_moved_parameter_is_answered_with_its_place(project: KedroProject, given: str) -> None:
    done = run_here(project, "--env=smoke", f"--params={given}")
    assert done.exit_code == 1
    assert printed(done.output) == [f"Error: {MOVED[given]}"]
    assert not (project.folder / "data").exists(), "nothing has run"


def test_typed_the_answer_is_all_that_a_person_sees(project: KedroProject) -> None:
    given = "federated.rounds=5"
    done = project.kedro("run", "--env=smoke", f"--params={given}")
    assert done.returncode == 1
    assert printed(done.stdout + done.stderr) == [f"Error: {MOVED[given]}"]
    assert not (project.folder / "data").exists(), "nothing has run"


def test_an_environment_of_an_earlier_version_is_too(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project.folder / "conf/mine").mkdir()
    (project.folder / "conf/mine/parameters.yml").write_text("model: {width: 8}\n")
    answer = said(run_here(project, "--env=mine"))
    assert "Parameter 'model' is now 'training.network'; set it there" in answer
