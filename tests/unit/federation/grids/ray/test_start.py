"""Where Ray's sockets lie, and what is said where Ray does not start."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ms_pfl.errors import InputError
from ms_pfl.federation.grids.ray import shared_pool
from ms_pfl.federation.grids.ray.shared_pool import worker_pool
from ms_pfl.federation.parameters import RayParameters

pytestmark = pytest.mark.integration

ONE = RayParameters(num_workers=1, address=None)


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files as a job of Slurm may have it."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    shared_pool.shutdown()
    yield folder
    shared_pool.shutdown()


def test_a_long_folder_for_temporary_files_and_an_address_in_the_environment_do_no_harm(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    pool = worker_pool(ONE, "cpu")
    assert len(pool.workers) == 1
    session = Path(ray._private.worker._global_node.get_session_dir_path()).parents[1]
    assert len(str(session)) < 40
    assert stat.S_IMODE(session.stat().st_mode) == 0o700
    shared_pool.shutdown()
    assert not session.exists()
    assert list(long_folder.iterdir()) == []


def test_where_no_folder_can_be_had_each_is_named_with_the_reason(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(prefix: str, dir: str) -> str:
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr(shared_pool.tempfile, "mkdtemp", refuse)
    with pytest.raises(InputError) as caught:
        worker_pool(ONE, "cpu")
    text = str(caught.value)
    assert "\n" not in text
    assert f"{long_folder}: the path is too long" in text
    assert "/tmp: Permission denied; /var/tmp: Permission denied" in text
    assert "RAY_TMPDIR" in text
    assert "--params=ray.num_workers=0" in text


def test_a_full_disk_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_folder: Path
) -> None:
    short = Path(tempfile.mkdtemp(prefix="ms_pfl_test", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if short in self.parents:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    try:
        folder = shared_pool._session_folder()
        assert short not in folder.parents
        assert list(short.iterdir()) == []
    finally:
        shared_pool._remove_folders()
        shutil.rmtree(short)
    assert not folder.exists()


def test_too_few_file_handles_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_pool.shutdown()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 128))
    with pytest.raises(InputError, match=r"at most 128 open files; raise the limit \(`ulimit -n"):
        worker_pool(ONE, "cpu")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/tmp/a"), "MB free) is full: /tmp/a"),
        (PermissionError(13, "Permission denied", "/tmp/ray"), "no permission for /tmp/ray"),
        (ValueError("The configured object store size\n exceeds /dev/shm size"), "/dev/shm size"),
    ],
)
def test_a_failing_start_names_its_cause_and_never_a_cluster(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def fail(**options: object) -> None:
        raise error

    shared_pool.shutdown()
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(InputError) as caught:
        worker_pool(ONE, "cpu")
    text = str(caught.value)
    assert text.startswith("Ray does not start on this machine: ")
    assert words in text
    assert text.endswith("--params=ray.num_workers=0 gives the same results")
    assert "cluster" not in text
    assert "\n" not in text
    assert shared_pool._folders == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1' (Connection refused)"),
        ("no.such.host.invalid:6379", "no Ray cluster answers at 'no.such.host.invalid:6379' ("),
        ("nonsense", "cluster at 'nonsense' cannot be used: Invalid address format"),
    ],
)
def test_a_cluster_that_cannot_be_joined(address: str, words: str) -> None:
    shared_pool.shutdown()
    with pytest.raises(InputError) as caught:
        worker_pool(RayParameters(num_workers=1, address=address), "cpu")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_end_of_the_process_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device", os.devnull)

    monkeypatch.setattr(shared_pool, "shutdown", fail)
    shared_pool._shutdown_at_exit()
