"""Files and folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ms_pfl.files import whole_file, whole_folder


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
    left.chmod(0o600)
    (tmp_path / "other").touch()
    with whole_file(tmp_path / "a.csv") as part:
        part.write_text("1")
    assert names(tmp_path) == ["a.csv", "other"]
    assert (tmp_path / "a.csv").read_text() == "1"
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


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
