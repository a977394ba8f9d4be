"""Which app a site answers: this project's, by name, and no file of another kind with it."""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.deployment.agreed_app import AGREED, ForeignAppError, check_app, identity
from network_examples import PROJECT
from runtime_api import fab_of_this_project


def check(fab: bytes) -> None:
    check_app(fab, hashlib.sha256(fab).hexdigest())


def repacked(fab: bytes, **more: bytes) -> bytes:
    """The same archive with further files, or with others in their place."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(fab)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if name not in more:
                new.writestr(name, old.read(name))
        for name, content in more.items():
            new.writestr(name, content)
    return out.getvalue()


def test_what_flwr_run_sends_is_the_agreed_app() -> None:
    fab = fab_of_this_project()
    check(fab)
    assert identity(fab) == AGREED
    assert identity(fab).digest == AGREED.digest
    told = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert told["components"] == {"serverapp": AGREED.serverapp, "clientapp": AGREED.clientapp}


def test_other_settings_of_a_run_make_no_other_app() -> None:
    check(fab_of_this_project(paradigm=('paradigm = "adaptive"', 'paradigm = "local"')))


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('clientapp = "ms_pfl.deployment.site:app"', 'clientapp = "evil:app"', "clientapp"),
        ('clientapp = "ms_pfl.deployment.site:app"',
         'clientapp = "ms_pfl.deployment.site:make_site_app"', "clientapp"),
        ('serverapp = "ms_pfl.deployment.server:app"', 'serverapp = "evil:app"', "serverapp"),
        ('name = "ms-pfl"', 'name = "other"', "name"),
        ('version = "0.1.0"', 'version = "0.1.1"', "version"),
        ('publisher = "ms-pfl"', 'publisher = "thief"', "publisher"),
    ],
)  # fmt: skip
def test_other_names(before: str, after: str, field: str) -> None:
    fab = fab_of_this_project(change=(before, after))
    with pytest.raises(ForeignAppError, match=rf"^its {field} "):
        check(fab)
    assert identity(fab).digest != AGREED.digest


@pytest.mark.parametrize(
    "name",
    ["ms_pfl/deployment/site.py", "evil.py", "ms_pfl.pth", "sitecustomize.py", "../x", "/etc/x",
     "pyproject.toml/x"],
)  # fmt: skip
def test_files_beside(name: str) -> None:
    with pytest.raises(ForeignAppError, match=r"^its files "):
        check(repacked(fab_of_this_project(), **{name: b"raise SystemExit"}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice() -> None:
    fab = io.BytesIO(fab_of_this_project())
    with zipfile.ZipFile(fab, "a") as archive:
        archive.writestr("pyproject.toml", archive.read("pyproject.toml"))
    with pytest.raises(ForeignAppError, match=r"^its files "):
        check(fab.getvalue())


def test_a_bomb_is_not_unpacked() -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("pyproject.toml", "w", force_zip64=True) as file,
    ):
        for _ in range(300):
            file.write(b"#" * 2**20)
    assert len(out.getvalue()) < 10**6
    with pytest.raises(ForeignAppError, match="has more than 1048576 bytes"):
        check(out.getvalue())


def test_a_text_of_control_characters_is_one_line() -> None:
    change = ('clientapp = "ms_pfl.deployment.site:app"', 'clientapp = "a\\u001b[2J\\n:b"')
    text = (PROJECT / "pyproject.toml").read_text().replace(*change)
    fab = repacked(fab_of_this_project(), **{"pyproject.toml": text.encode()})
    with pytest.raises(ForeignAppError) as caught:
        check(fab)
    assert str(caught.value).isprintable()


def test_other_bytes_than_the_run_names() -> None:
    with pytest.raises(ForeignAppError, match="not those that the run names"):
        check_app(fab_of_this_project(), "0" * 64)


FAB = fab_of_this_project()


@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(FAB) - 1), st.binary(min_size=1, max_size=8)).map(
            lambda cut: FAB[: cut[0]] + cut[1] + FAB[cut[0] + len(cut[1]) :]
        ),
        st.integers(0, len(FAB) - 1).map(lambda end: FAB[:end]),
        st.binary(max_size=300).map(lambda text: repacked(FAB, **{"pyproject.toml": text})),
    )
)
def test_any_bytes_are_the_agreed_app_or_refused(fab: bytes) -> None:
    refused = ""
    try:
        check(fab)
    except ForeignAppError as error:
        refused = str(error)
    assert refused.isprintable()
    assert refused or identity(fab) == AGREED
