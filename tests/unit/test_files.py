"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ms_pfl.files import (
    make_folder,
    open_to_others,
    private_umask,
    whole_file,
    whole_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new/a.csv"
    with whole_file(path) as part:
        part.write_text("1")
        part.chmod(0o600)
        assert not path.exists()
    assert path.read_text() == "1"
    assert names(tmp_path) == ["new", "new/a.csv"]


def test_a_failure_leaves_the_old_file_and_names_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        fail()
    assert caught.value.__notes__ == [f"while writing {path}"]
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


def test_what_a_killed_process_left_is_overwritten_with_a_new_mode(tmp_path: Path) -> None:
    left = tmp_path / ".a.part.csv"
    left.write_text("half of it, and long")
    left.chmod(0o644)
    with whole_file(tmp_path / "a.csv") as part:
        part.write_text("1")
    assert names(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "1"
    assert mode(tmp_path / "a.csv") == 0o600


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_reads_what_is_written_and_folders_that_are_there_keep_their_mode(
    tmp_path: Path,
) -> None:
    shared = tmp_path / "data"
    shared.mkdir()
    shared.chmod(0o2775)
    with whole_file(shared / "a/b/c.csv") as part:
        part.chmod(0o666)
        assert mode(part) == 0o666
    with whole_folder(shared / "m") as folder:
        (folder / "arrays").mkdir()
        (folder / "arrays/x").touch()
    make_folder(shared / "deep/er")
    assert mode(shared) == 0o2775
    found = {path: mode(path) & 0o777 for path in shared.rglob("*")}
    assert len(found) == 8
    assert {oct(m) for path, m in found.items() if path.is_file()} == {"0o600"}
    assert {oct(m) for path, m in found.items() if path.is_dir()} == {"0o700"}


@pytest.mark.usefixtures("open_umask")
def test_the_umask_holds_where_somebody_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MS_PFL_KEEP_UMASK", "1")
    with whole_file(tmp_path / "a/c.csv") as part:
        part.chmod(0o600)
    with whole_folder(tmp_path / "m") as folder:
        (folder / "x").touch()
    assert [oct(mode(tmp_path / name)) for name in ("a", "a/c.csv", "m", "m/x")] == [
        "0o775", "0o664", "0o775", "0o664",
    ]  # fmt: skip
    with private_umask():
        (tmp_path / "b").touch()
    assert mode(tmp_path / "b") == 0o664


@pytest.mark.usefixtures("open_umask")
def test_a_process_that_is_started_inherits_the_private_umask(tmp_path: Path) -> None:
    with private_umask():
        subprocess.run(["touch", str(tmp_path / "a")], check=True)
    (tmp_path / "b").touch()
    assert (mode(tmp_path / "a"), mode(tmp_path / "b")) == (0o600, 0o664)


def test_a_link_in_the_place_of_a_part_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").write_text("theirs")
    unlink = Path.unlink

    def unlink_and_link(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        monkeypatch.undo()
        self.symlink_to(tmp_path / "theirs")

    monkeypatch.setattr(Path, "unlink", unlink_and_link)
    with pytest.raises(FileExistsError), whole_file(tmp_path / "a.csv") as part:
        part.write_text("a")
    assert (tmp_path / "theirs").read_text() == "theirs"


@pytest.fixture
def reachable() -> Iterator[Path]:
    # pytest's own folder is closed to others
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_what_every_account_can_reach_is_found(reachable: Path) -> None:
    data = reachable / "data"
    make_folder(data / "a")
    make_folder(data / "b")
    for path in (data / "a/x", data / "b/y", data / "b/.hidden"):
        path.touch(0o644)
        path.chmod(0o644)
    assert open_to_others(data) == []  # nobody passes data
    data.chmod(0o755)
    assert open_to_others(data) == []
    (data / "b").chmod(0o755)
    assert open_to_others(data) == [data / "b/y"]
    assert open_to_others(data / "b/y") == [data / "b/y"]
    (data / "b/y").chmod(0o640)
    assert open_to_others(data) == []
    (data / "b").chmod(0o773)
    assert open_to_others(data) == [data / "b"]
    reachable.chmod(0o700)
    assert open_to_others(data) == []
    assert open_to_others(data / "absent") == []


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for text in ("1", "2"):
        with whole_folder(folder) as part:
            (part / "a").write_text(text)
        assert names(tmp_path) == ["model", "model/a"]
        assert (folder / "a").read_text() == text
    with pytest.raises(RuntimeError), whole_folder(folder) as part:  # noqa: PT012
        (part / "b").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == ["model", "model/a"]


@pytest.mark.parametrize("killed", ["while writing", "between the renamings", "before removing"])
def test_a_folder_is_whole_after_a_kill(tmp_path: Path, killed: str) -> None:
    folder, part, before = (tmp_path / name for name in ("model", ".model.part", ".model.before"))
    for one in {
        "while writing": (folder, part),
        "between the renamings": (before, part),
        "before removing": (folder, before),
    }[killed]:
        one.mkdir()
        (one / "a").write_text(one.name)
    with pytest.raises(RuntimeError), whole_folder(folder):
        raise RuntimeError
    assert names(tmp_path) == ["model", "model/a"]
    assert (folder / "a").read_text() in ("model", ".model.before")
    with whole_folder(folder) as new:
        (new / "a").write_text("new")
    assert names(tmp_path) == ["model", "model/a"]
    assert (folder / "a").read_text() == "new"


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    with whole_folder(folder) as part:
        (part / "a").write_text("old")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == ".model.part":
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), whole_folder(folder) as part:
        (part / "a").write_text("new")
    assert names(tmp_path) == ["model", "model/a"]
    assert (folder / "a").read_text() == "old"
