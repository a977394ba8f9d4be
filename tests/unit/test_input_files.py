"""What is no regular file, or a huge or nested one, is refused in one line before it is read."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kedro_project import PROJECT
from ms_pfl.cohort.custom.table import read_file
from ms_pfl.conf_files import ConfLoader
from ms_pfl.config import CONFIG_LOADER_ARGS
from ms_pfl.errors import InputError
from ms_pfl.input_files import FileLimits, check_yaml, json_object, read_regular
from ms_pfl.registry.ingest.refusals import UnusableFile
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.table_files import FileSettings, read_table, synthetic_source
from ms_pfl.registry.ingest.tables import ingest


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    os.chdir(path.parent)  # the name of a socket is short
    socket.socket(socket.AF_UNIX).bind(path.name)


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to(path.with_name("pipe"))


NO_FILES = [(pipe, "a named pipe"), (device, "a device"), (unix_socket, "a socket"),
            (Path.mkdir, "a folder"), (link_to_a_pipe, "a named pipe")]  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "kind"), NO_FILES)
@pytest.mark.parametrize("name", ["visits.csv", "visits.parquet"])
def test_only_regular_files_are_read(
    make: Callable[[Path], None],
    kind: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError, match=f"{name} is {kind} and no regular file; name a regular"):
        read_regular(path, 1)
    with pytest.raises(UnusableFile, match=f"{name} is {kind} and no regular file"):
        read_table(path)
    (tmp_path / "patients.csv").write_text("PATIENT_ID,country\nA,Peru\n")
    with pytest.raises(IngestError, match=f"{name} is {kind}"):
        ingest(tmp_path)


def test_a_link_to_a_regular_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    assert read_regular(tmp_path / "b.csv", 1) == b"x\n1\n"


def test_a_file_of_the_system_without_a_size_ends_at_the_limit() -> None:
    with pytest.raises(InputError, match="has 0 MB, and 0 is the most for this file"):
        read_regular(Path("/proc/self/status"), 0)


def told(path: Path, **limits: int) -> str:
    with pytest.raises(UnusableFile) as caught:
        read_table(path, settings=FileSettings(FileLimits(**limits)))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def test_tables_beyond_the_limits_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(",".join(f"c{i}" for i in range(300_000)) + "\n")
    assert told(path) == (
        " has 300,000 columns, and ingest.limits.columns is 10,000; leave out columns that are not "
        "needed, or raise it"
    )
    path.write_text("x\n" + "1\n" * 2**17)
    assert told(path, megabytes=1).startswith(" has 131,073 rows in 1 columns, which are 1 MB in m")
    assert len(read_table(path, settings=FileSettings(FileLimits(megabytes=2)))[0]) == 2**17
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # a hole
    assert told(path) == (
        " has 3,072 MB, and ingest.limits.megabytes is 2,048; raise it, if the file is what it "
        "should be"
    )
    with pytest.raises(InputError, match=r"own_episodes\.limits\.megabytes is 2,048"):
        read_file(path)


def test_small_parquet_files_of_huge_tables_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pd.DataFrame([range(200)]).rename(columns=str).to_parquet(path)
    assert told(path, columns=100).startswith(" has 200 columns, and ingest.limits.columns is 100")
    pq.write_table(pa.table({"x": pa.array([0.0] * 2**18)}), path)  # 2 MB in one kB
    assert path.stat().st_size < 2**12
    assert told(path, megabytes=1).startswith(" has 262,144 rows in 1 columns, which are 2 MB in")
    long = pa.table({"x": pa.array(["a" * 2**20 * 3])})
    pq.write_table(long, path, compression="zstd")
    assert told(path, megabytes=1).startswith(" has 1 rows in 1 columns, which are ")


def test_what_a_parquet_file_says_of_its_source_may_be_anything(tmp_path: Path) -> None:
    for said in (b"[" * 100_000, b"7", b"\xff", b'{"kind": ["synthetic"]}', b"{"):
        table = pa.table({"x": [1]}).replace_schema_metadata({b"ms_pfl.source": said})
        pq.write_table(table, tmp_path / "patients.parquet")
        assert synthetic_source(tmp_path) == {}


@given(st.binary(max_size=200) | st.integers(1, 5000).map(lambda n: b"[" * n + b"]" * n))
def test_any_bytes_are_a_json_object_or_none(data: bytes) -> None:
    assert json_object(data) is None or isinstance(json_object(data), dict)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "holds more than 100,000 entries, its aliases followed; write the parameters out"),
        ("a: " + "[" * 51 + "]" * 51, "nests deeper than 50 levels"),
        ("a: " + "{b: " * 10_000, "nests deeper than 50 levels"),
        ("a: &a [*a]", "holds more than 100,000 entries"),
        ("a: [" + "1, " * 100_001 + "]", "holds more than 100,000 entries"),
        ("#" * (4 * 2**20 + 1), "has 4 MB, and 4 is the most for this file; create it again"),
    ],
)
def test_yaml_that_unfolds_to_more_than_it_shows_is_refused(
    text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    path = tmp_path / "base/parameters.yml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        check_yaml(path)
    assert str(caught.value).startswith(f"{path} {said}")
    with pytest.raises(InputError):
        ConfLoader(str(tmp_path), **CONFIG_LOADER_ARGS)


def test_the_configuration_that_ships_is_read_as_before() -> None:
    from kedro.config import OmegaConfigLoader

    for env in ("base", "heart", "smoke", "paper"):
        told, before = (
            loader(str(PROJECT / "conf"), env=env, **CONFIG_LOADER_ARGS)
            for loader in (ConfLoader, OmegaConfigLoader)
        )
        assert told["parameters"] == before["parameters"]
        assert told["catalog"] == before["catalog"]


values = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(values)
def test_ordinary_yaml_passes(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yml"
        path.write_text(yaml.safe_dump([value, value]), encoding="utf-8")
        check_yaml(path)
