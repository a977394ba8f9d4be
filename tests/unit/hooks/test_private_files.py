"""A run writes under a closed umask and tells of what is open to every account."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.framework.hooks.manager import _create_hook_manager

from ms_pfl.hooks.private_files import PrivateFiles


@pytest.fixture
def project() -> Iterator[Path]:
    # pytest's own folder is closed to others
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for path in (Path(folder), Path(folder) / "data", Path(folder) / "tables"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        yield Path(folder)


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o022)
    yield 0o022
    os.umask(before)


def begun(project: Path, *others: Any) -> tuple[Any, dict[str, Any]]:
    manager = _create_hook_manager()
    for hook in (*others, PrivateFiles()):
        manager.register(hook)
    loader = {"parameters": {"registry_folder": str(project / "tables"), "episodes_file": None}}
    manager.hook.after_context_created(context=SimpleNamespace(config_loader=loader))
    return manager, {"project_path": str(project)}


def written(path: Path) -> int:
    path.touch()
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("end", ["after_pipeline_run", "on_pipeline_error"])
def test_the_umask_is_closed_until_the_run_has_ended(project: Path, umask: int, end: str) -> None:
    manager, run = begun(project)
    manager.hook.before_pipeline_run(run_params=run, pipeline=None, catalog=None)
    assert written(project / "during") == 0o600
    manager.hook.before_pipeline_run(run_params=run, pipeline=None, catalog=None)
    both = {"run_params": run, "pipeline": None, "catalog": None}
    more = {"run_result": None} if end == "after_pipeline_run" else {"error": ValueError()}
    getattr(manager.hook, end)(**both, **more)
    assert written(project / "after") == 0o644


def test_a_run_that_does_not_begin_leaves_the_umask(project: Path, umask: int) -> None:
    from kedro.framework.hooks import hook_impl

    class Stops:
        @hook_impl
        def before_pipeline_run(self) -> None:
            raise ValueError("no")

    manager, run = begun(project, Stops())
    with pytest.raises(ValueError, match="no"):
        manager.hook.before_pipeline_run(run_params=run, pipeline=None, catalog=None)
    assert written(project / "after") == 0o644


def test_rows_that_every_account_can_read_are_told_of(
    project: Path, umask: int, caplog: pytest.LogCaptureFixture
) -> None:
    manager, run = begun(project)
    manager.hook.before_pipeline_run(run_params=run, pipeline=None, catalog=None)
    assert caplog.messages == []
    for name in ("visits.csv", "patients.csv"):
        (project / "tables" / name).touch()
        (project / "tables" / name).chmod(0o644)
    manager.hook.before_pipeline_run(run_params=run, pipeline=None, catalog=None)
    tables = project / "tables"
    assert caplog.messages == [
        f"{tables}: every account of this machine can read or change patients.csv and 1 more; "
        f"close it with `chmod -R o= {tables}`, if that is not on purpose"
    ]
    # the remedy is right
    for path in (tables, *tables.iterdir()):
        path.chmod(path.stat().st_mode & ~0o007)
    caplog.clear()
    manager.hook.before_pipeline_run(run_params=run, pipeline=None, catalog=None)
    assert caplog.messages == []
