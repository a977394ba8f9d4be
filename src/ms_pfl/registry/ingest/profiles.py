"""Profiles: the spellings of a known kind of export, as a YAML file of ``ingest_profiles``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ms_pfl.errors import InputError
from ms_pfl.input_files import check_yaml
from ms_pfl.registry.ingest.parameters import IngestProfile

#: Folder of profiles in an environment of conf/.
FOLDER = "ingest_profiles"


def read_profile(path: str | Path) -> IngestProfile:
    """Read a profile.

    Args:
        path: of a YAML file with the keys of :class:`.parameters.FileSpellings` and a
            ``description``; its name is that of the profile.

    Raises:
        InputError: it cannot be read, or holds what is no spelling of the ingest contract.
    """
    path = Path(path)
    try:
        check_yaml(path)
        given: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the ingest profile {path} cannot be read ({reason})") from None
    if not isinstance(given, dict):
        raise InputError(f"the ingest profile {path} holds no settings; see docs/ingest.md")
    try:
        return IngestProfile.model_validate({**given, "name": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"the ingest profile {path}: {where + ': ' if where else ''}{said}"
        ) from None


def find_profile(name: str, environments: Iterable[Path]) -> IngestProfile:
    """Return the profile of a name from the first environment of conf/ that has it.

    Raises:
        InputError: none has it, or it cannot be used.
    """
    folders = [folder / FOLDER for folder in environments]
    for folder in folders:
        if (path := folder / f"{name}.yml").is_file() and path.parent == folder:
            return read_profile(path)
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yml")})
    raise InputError(
        f"there is no ingest profile {name!r}, which ingest.profile names; use "
        f"{', '.join(known) or 'none'}, or write {folders[0] / (name + '.yml')}"
    )


def read_profiles(folder: Path) -> list[IngestProfile]:
    """Return all profiles of a folder, by name."""
    return [read_profile(path) for path in sorted(folder.glob("*.yml"))]
