"""The one app that a site answers: the name of what is installed here, and no code with it.

With a run, Flower hands the site a file (a FAB: a zip archive) that the server has chosen. Nothing
of it is unpacked or imported here. It is read in memory, within bounds, to see whether the run
means this project's app in this version; what answers then is the app as it is installed.
"""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
import zipfile
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import ms_pfl
from ms_pfl.text import shown

_PYPROJECT = "pyproject.toml"
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class AppIdentity:
    """What a FAB says that it is: who made it, what it is called, and which files it holds."""

    publisher: str
    name: str
    version: str
    serverapp: str
    clientapp: str
    files: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


AGREED = AppIdentity(
    publisher="ms-pfl",
    name="ms-pfl",
    version=ms_pfl.__version__,
    serverapp="ms_pfl.deployment.server:app",
    clientapp="ms_pfl.deployment.site:app",
    files=(".info/CONTENT", "LICENSE", _PYPROJECT),
)
"""This project's app, as pyproject.toml describes it to Flower."""


class ForeignAppError(Exception):
    """What the server has sent with a run is not this project's app; one reason, in one line."""


def check_app(fab: bytes, digest: str) -> AppIdentity:
    """See that a FAB is this project's app.

    Args:
        fab: its bytes.
        digest: that the run names, SHA-256 of the bytes.

    Raises:
        ForeignAppError: it is another app, or none.
    """
    if hashlib.sha256(fab).hexdigest() != digest:
        raise ForeignAppError("its bytes are not those that the run names")
    found = identity(fab)
    for field, wanted in asdict(AGREED).items():
        has = getattr(found, field)
        if has != wanted:
            raise ForeignAppError(f"its {field} {shown(repr(has), 80)} should be {wanted!r}")
    return found


def identity(fab: bytes) -> AppIdentity:
    """Read what a FAB says that it is.

    Raises:
        ForeignAppError: it is no FAB, or larger than one of this project is.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(fab)) as archive:
            infos = archive.infolist()
            files = tuple(sorted(info.filename for info in infos))
            if _PYPROJECT not in files:
                raise ForeignAppError(f"it has no {_PYPROJECT}")
            with archive.open(_PYPROJECT) as file:
                text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ForeignAppError(f"its {_PYPROJECT} has more than {_MOST_BYTES} bytes")
        told = tomllib.loads(text.decode("utf-8"))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ForeignAppError(f"it is no app of Flower ({type(error).__name__})") from None
    except (OSError, ValueError, OverflowError) as error:
        raise ForeignAppError(f"it cannot be read ({type(error).__name__})") from None
    app, components = ("tool", "flwr", "app"), ("tool", "flwr", "app", "components")
    return AppIdentity(
        publisher=_text(told, *app, "publisher"),
        name=_text(told, "project", "name"),
        version=_text(told, "project", "version"),
        serverapp=_text(told, *components, "serverapp"),
        clientapp=_text(told, *components, "clientapp"),
        files=files,
    )


def _text(told: Any, *keys: str) -> str:
    for key in keys:
        told = told.get(key) if isinstance(told, dict) else None
    return told if isinstance(told, str) else ""
