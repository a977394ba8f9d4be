"""Runs that fail for a cause outside the program: a few lines, nothing half-written, resumable."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog

from failing_runs import contents, run_tiny, small_disk, tiny_project
from kedro_project import KedroProject, said
from ms_pfl.datasets import (
    ArraysFile,
    CsvTable,
    FigureFile,
    JsonFile,
    ParquetTable,
    RegistryFolder,
    TextFile,
)
from ms_pfl.failures import explain

TABLE = pd.DataFrame({"name": [f"{number:040d}" for number in range(2000)]})
OTHER = TABLE.assign(name=TABLE["name"].str[::-1])


def figure(color: str) -> plt.Figure:
    made, axes = plt.subplots(figsize=(3, 3))
    axes.imshow(np.random.default_rng(0).random((90, 90)), cmap=color)
    plt.close(made)
    return made


# kind of output -> what is saved first, and what cannot be saved in its place
OUTPUTS: dict[str, tuple[Callable[[str], object], object, object]] = {
    "a.parquet": (lambda path: ParquetTable(filepath=path), TABLE, OTHER),
    "a.csv": (lambda path: CsvTable(filepath=path), TABLE, OTHER),
    "a.json": (lambda path: JsonFile(filepath=path), list(TABLE["name"]), list(OTHER["name"])),
    "a.txt": (lambda path: TextFile(filepath=path), "a" * 50_000, "b" * 50_000),
    "a.png": (lambda path: FigureFile(filepath=path), figure("viridis"), figure("gray")),
    "a.safetensors": (
        lambda path: ArraysFile(filepath=path, backend="numpy"),
        {"a": np.zeros(9000)},
        {"a": np.ones(9000)},
    ),
    "registry": (
        lambda path: RegistryFolder(filepath=path),
        {name: TABLE for name in ("patients", "visits", "relapses", "treatments")},
        {
            "patients": TABLE[:5],  # fits
            "visits": OTHER[:5],
            "relapses": OTHER,
            "treatments": OTHER[:5],
        },
    ),
}


@contextmanager
def small_files() -> Iterator[None]:
    """No file may become larger than 4 KB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", OUTPUTS)
def test_no_output_is_half_written(tmp_path: Path, name: str) -> None:
    make, first, second = OUTPUTS[name]
    catalog = DataCatalog({"output": make(str(tmp_path / name))})
    catalog.save("output", first)
    before = contents(tmp_path)
    with small_files(), pytest.raises(Exception, match=r".") as caught:
        catalog.save("output", second)
    text = explain(caught.value)
    assert text is not None
    file = "registry/relapses.parquet" if name == "registry" else name
    assert text.startswith(f"{tmp_path}/{file} would be larger"), text
    assert contents(tmp_path) == before
    catalog.save("output", second)
    assert len(contents(tmp_path)) == len(before)
    assert contents(tmp_path) != before


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_is_named(tmp_path: Path, name: str) -> None:
    make, first, second = OUTPUTS[name]
    folder = tmp_path / "disk"
    catalog = DataCatalog({"output": make(str(folder / name))})
    catalog.save("output", first)
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with small_disk(folder, used // 1024 + 12):
        before = contents(folder)
        with pytest.raises(Exception, match=r".") as caught:
            catalog.save("output", second)
        assert "MB free) is full: " in (explain(caught.value) or "")
        assert contents(folder) == before


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    """A project with its cohort and one training."""
    made = tiny_project(tmp_path_factory.mktemp("project"))
    done = run_tiny(made, "--pipelines=synthetic_registry,preprocessing,centralized")
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture
def data(project: KedroProject) -> Iterator[Path]:
    """The project's ``data``, as it was after the test as before."""
    folder = project.folder / "data"
    kept = project.folder / "kept"
    shutil.copytree(folder, kept)
    yield folder
    shutil.rmtree(folder)
    kept.rename(folder)


def timeless(files: dict[str, str]) -> dict[str, str]:
    """Without the histories, which hold how long each round took, and the times of files."""
    timed = ("history", "provenance")
    return {name: d for name, d in files.items() if not any(part in name for part in timed)}


PREPROCESSING = "--pipelines=synthetic_registry,preprocessing"
_OTHER_SEED = "--params=synthetic_registry.seed=3"


@pytest.mark.parametrize(
    ("pipeline", "place"),
    [
        ("--pipeline=centralized", "06_models/centralized/pooled/models.safetensors"),
        *(
            pytest.param(PREPROCESSING, place, marks=pytest.mark.slow)
            for place in (
                "01_raw/synthetic_registry/visits.parquet",
                "02_intermediate/source.json",
                "03_primary/episodes.parquet",
                "05_model_input/splits.parquet",
                "08_reporting/attrition.png",
                "08_reporting/attrition.csv",
            )
        ),
    ],
)
def test_a_folder_in_the_place_of_an_output(
    project: KedroProject, data: Path, pipeline: str, place: str
) -> None:
    expected = contents(data)
    file = data / place
    file.unlink()
    file.mkdir()
    before = contents(data)
    text = said(run_tiny(project, pipeline))
    assert text.startswith(f"{file} is a folder where a file belongs; move the folder away"), text
    kept = {name: digest for name, digest in contents(data).items() if "unfinished" not in name}
    assert timeless(kept) == timeless(before)
    file.rmdir()  # as the message says
    done = run_tiny(project, pipeline)
    assert done.exit_code == 0, done.output
    assert timeless(contents(data)) == timeless(expected)


@pytest.mark.slow
def test_a_disk_that_becomes_full(project: KedroProject, data: Path) -> None:
    expected = contents(data)
    used = sum(path.stat().st_size for path in (data / "03_primary").iterdir())
    with small_disk(data / "03_primary", used // 1024 + 30):
        text = said(run_tiny(project, PREPROCESSING, _OTHER_SEED))
        assert "MB free) is full: " in text
        assert f"{data}/03_primary/" in text
        assert not list((data / "03_primary").glob(".*"))
    done = run_tiny(project, PREPROCESSING)
    assert done.exit_code == 0, done.output
    assert contents(data) == expected


@pytest.mark.slow
def test_a_disk_that_is_read_only(project: KedroProject, data: Path) -> None:
    before = contents(data)
    with small_disk(data / "08_reporting", 4000, "ro"):
        text = said(run_tiny(project, PREPROCESSING))
        assert f"{data}/08_reporting/" in text
        assert "file system that is mounted read-only" in text
    assert contents(data) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EDQUOT])
def test_a_checkpoint_that_cannot_be_written(
    project: KedroProject, data: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses at the moment when the file is forced to the disk."""
    before = contents(data)

    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    arguments = ("--pipeline=federated", "--tags=fedavg", "--params=checkpoints.every_rounds=1")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        text = said(run_tiny(project, *arguments))
    assert f"{data}/06_models/unfinished/federated.fedavg" in text
    assert contents(data) == before
    done = run_tiny(project, *arguments)
    assert done.exit_code == 0, done.output
    made = contents(data)
    shutil.rmtree(data / "06_models/federated")
    shutil.rmtree(data / "07_model_output/federated")
    assert run_tiny(project, *arguments).exit_code == 0
    again = contents(data)
    models = "06_models/federated/fedavg/models.safetensors"
    assert again[models] == made[models]


@pytest.mark.parametrize("damage", ["cut short", "missing"])
def test_a_file_of_an_earlier_step_that_is_damaged_or_missing(
    project: KedroProject, data: Path, damage: str
) -> None:
    file = data / "03_primary/episodes.parquet"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:1000])
    text = said(run_tiny(project, "--pipeline=centralized"))
    words = "does not exist; " if damage == "missing" else "than the one that is there; "
    assert f"data/03_primary/episodes.parquet {words}" in text
    assert text.endswith("run `kedro run --pipeline=preprocessing --env=tiny` first")


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("conf/tiny/parameters.yml", "seeds: [0\nray: {", "/conf/tiny/parameters.yml, unable to"),
        ("conf/tiny/parameters_x.yml", "- a\n- b\n", "conf/base and of the environment: each"),
        ("conf/tiny/catalog.yml", "splits:\n  type: pandas.No", "'splits'"),
        ("conf/tiny/catalog.yml", "metrics: [", "/conf/tiny/catalog.yml, unable to read"),
        ("conf/tiny/parameters.yml", "device: ${nothing}", "nothing"),
    ],
)
def test_a_broken_file_of_the_configuration(
    project: KedroProject, data: Path, file: str, text: str, words: str
) -> None:
    path = project.folder / file
    kept = path.read_text() if path.exists() else None
    before = contents(data)
    path.write_text(text)
    try:
        line = said(run_tiny(project, "--pipeline=centralized"))
    finally:
        path.unlink()
        if kept is not None:
            path.write_text(kept)
    assert words in line
    assert "defect" not in line
    assert contents(data) == before
