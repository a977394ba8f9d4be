"""How a run was made: its data and source, its configuration and the versions of its packages."""

from __future__ import annotations

import json
import platform
from importlib import metadata

from ms_pfl.reporting.content import About, Content, Details, Text

_PACKAGES = ("ms_pfl", "kedro", "flwr", "ray", "torch", "scikit-learn", "pandas", "numpy", "mlflow")


def run(about: About) -> Content:
    """Show what it takes to make the run again."""
    data, code = about.provenance["data"], about.provenance["code"]
    told = json.dumps(about.configuration, indent=2, default=str, ensure_ascii=False)
    versions = "".join(f"{name} {version}\n" for name, version in installed_versions().items())
    return [
        Text(
            f"Data {data}, source {code} (BLAKE2 digests: the same ones mean the same episodes and "
            "the same program)."
        ),
        Details("Configuration", [Text(told, tag="pre")]),
        Details("Versions", [Text(versions, tag="pre")]),
    ]


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
