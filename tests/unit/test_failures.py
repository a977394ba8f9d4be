"""What fails outside the tables is one line with cause and remedy; what is our own fault is not."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sqlite3
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml
from omegaconf import OmegaConf

from ms_pfl.errors import InputError
from ms_pfl.failures import chain, explain, failure_of
from ms_pfl.files import whole_file


def raised(action: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (any: that is what is looked at)
        action()
    return caught.value


def said(action: Callable[[], object]) -> str:
    text = explain(raised(action))
    assert text is not None
    assert "\n" not in text
    assert ";" in text, "cause and remedy"
    return text


def write(path: Path, size: int = 10) -> None:
    with whole_file(path) as part:
        part.write_bytes(bytes(size))


def test_a_file_that_would_be_too_large_is_named_by_its_own_name(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        error = raised(lambda: write(tmp_path / "a.csv", 10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    text = explain(error)
    assert text is not None
    assert text.startswith(f"{tmp_path}/a.csv would be larger than this system allows")
    assert "ulimit -f" in text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_and_a_file_in_that_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    assert said(lambda: write(tmp_path / "a.csv")) == (
        f"{tmp_path}/a.csv is a folder where a file belongs; move the folder away, then give the "
        "same command again"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    (tmp_path / "b").write_text("")
    assert said(lambda: write(tmp_path / "b/c.csv")).startswith(f"{tmp_path}/b")
    assert f"{tmp_path}/b/c" in said((tmp_path / "b/c").read_text)


def test_a_missing_file_and_a_path_too_long_are_named(tmp_path: Path) -> None:
    assert said((tmp_path / "x").read_text).startswith(f"{tmp_path}/x does not exist; ")
    assert "longer than this system allows" in said((tmp_path / ("y" * 300)).read_text)


def test_too_many_open_files_name_the_limit(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = []

    def open_many() -> None:
        for number in range(1000):
            files.append((tmp_path / str(number)).open("w"))

    here = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (here + 20, hard))
    try:
        error = raised(open_many)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in files:
            file.close()
    assert (explain(error) or "").startswith("Too many files are open at once (the limit is ")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "MB free) is full: /p/a.csv cannot be written; free some space"),
        (errno.EDQUOT, "Your disk quota is used up: /p/a.csv"),
        (errno.EACCES, "You have no permission for /p/a.csv"),
        (errno.EPERM, "does not permit to write or change /p/a.csv"),
        (errno.EROFS, "/p/a.csv lies on a file system that is mounted read-only"),
        (errno.EIO, "The disk reports an error at /p/a.csv"),
        (errno.ESTALE, "/p/a.csv lies on a network drive that was lost"),
        (errno.ENXIO, "The system reports: No such device or address (/p/a.csv)"),
    ],
)
def test_what_the_system_reports_of_a_file(number: int, words: str) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "/p/a.csv")

    assert words in said(fail)


def test_an_error_of_a_library_in_rust_is_read_too(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    text = said(lambda: save_file({"a": np.zeros(3)}, str(tmp_path / "no/a.safetensors")))
    assert "does not exist" in text


def test_a_taken_port_is_named() -> None:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        one.listen()
        text = said(lambda: two.bind(one.getsockname()))
    assert text.startswith("Another program listens at")
    assert "(address already in use)" in text


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_connections_that_cannot_be_made() -> None:
    port = free_port()
    assert said(lambda: requests.get(f"http://127.0.0.1:{port}", timeout=5)) == (
        f"No connection to 127.0.0.1:{port}: nobody answers there; start the server"
    )
    assert "nobody answers there" in said(
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5)
    )
    assert "the name is not known" in said(
        lambda: requests.get("http://no.such.host.invalid", timeout=5)
    )


def test_a_server_that_keeps_silent_and_one_without_tls() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        text = said(lambda: requests.get(f"http://127.0.0.1:{port}", timeout=0.2))
    assert f"No connection to 127.0.0.1:{port}: no answer in time" in text
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert (explain(error) or "").startswith("No secure connection: ")


def test_a_lack_of_memory() -> None:
    assert "not enough free memory" in said(lambda: np.zeros(2**50))
    import torch

    assert "not enough free memory" in said(lambda: torch.zeros(2**50))


def test_broken_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "parameters.yml"
    path.write_text("seeds: [0]\nray: {num_workers: 0\nmodel: 1\n")
    with path.open() as file:
        assert said(lambda: yaml.safe_load(file)).startswith(f"{path}, line 3: ")
    text = said(lambda: OmegaConf.create({"a": "${nothing}"}).a)
    assert "'nothing'" in text
    assert "conf/" in text


def test_a_database_that_is_locked_or_none(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("no database, but a text as long as the header of one is" * 20)
    with sqlite3.connect(tmp_path / "a.db") as database:
        assert "it is no database; move it away" in said(
            lambda: database.execute("SELECT 1 FROM x")
        )
    one, two = (sqlite3.connect(tmp_path / "b.db", timeout=0) for _ in range(2))
    one.execute("BEGIN IMMEDIATE")
    assert "another program is writing to it" in said(lambda: two.execute("BEGIN IMMEDIATE"))
    one.close()
    two.close()


def test_packages_that_are_missing_are_told_from_modules_of_our_own() -> None:
    def other() -> None:
        import no_such_package  # noqa: F401

    def own() -> None:
        import ms_pfl.no_such_module  # noqa: F401

    assert "requirements.lock" in said(other)
    assert explain(raised(own)) is None


def test_a_defect_is_nobody_elses_fault() -> None:
    def in_a_handler() -> None:
        try:
            Path("/no/such/file").read_text()
        except OSError:
            {}["key"]

    for action in (lambda: [][1], lambda: int("x"), in_a_handler, lambda: json.loads("{")):
        assert explain(raised(action)) is None


def test_what_lies_behind_an_error_of_a_library_counts() -> None:
    class LibraryError(Exception):
        __module__ = "some_library"

    def library() -> None:
        try:
            Path("/no/such/file").read_text()
        except OSError:
            raise LibraryError("it did not work")  # noqa: B904

    assert [type(one) for one in chain(raised(library))] == [LibraryError, FileNotFoundError]
    assert said(library).startswith("/no/such/file does not exist")

    def input_error() -> None:
        try:
            Path("/no/such/file").read_text()
        except OSError as error:
            raise InputError("row 3: wrong") from error

    assert explain(raised(input_error)) == "row 3: wrong"


def test_an_explanation_imports_nothing() -> None:
    code = (
        "import sys; from ms_pfl.failures import explain; explain(OSError(28, 'full', 'a'));"
        "print([m for m in ('kedro', 'ray', 'mlflow', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_failures_of_a_gpu_and_of_workers_are_of_memory() -> None:
    import ray

    failure = failure_of(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert failure is not None
    assert "device=cpu" in failure.remedy
    failure = failure_of(ray.exceptions.OutOfMemoryError("node"))
    assert failure is not None
    assert "ray.num_workers" in failure.remedy
