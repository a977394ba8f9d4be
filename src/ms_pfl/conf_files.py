"""The files of conf/, read by Kedro once they are seen to be no larger than parameters are.

An ingest profile that the parameters name stands in its place when they are read.
"""

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

from ms_pfl.input_files import check_yaml
from ms_pfl.registry.ingest.profiles import find_profile


class ConfLoader(OmegaConfigLoader):
    """Kedro's loader, which would follow aliases of YAML and nests as far as the memory lasts."""

    def __init__(self, conf_source: str, env: str | None = None, **settings: Any) -> None:
        """Look at the YAML files of the environments that are read.

        Args:
            conf_source: the folder conf/.
            env: a folder of it beside the base.
            settings: further arguments of the loader.

        Raises:
            InputError: a file is too large, nests too deep, or is no regular file.
        """
        super().__init__(conf_source, env=env, **settings)
        for name in {settings.get("base_env"), env or settings.get("default_run_env")} - {None}:
            folder = Path(conf_source) / str(name)
            for path in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
                check_yaml(path)
        self._environments = [
            Path(conf_source) / str(name)
            for name in (env or settings.get("default_run_env"), "local", settings.get("base_env"))
            if name
        ]

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a kind of settings; of the parameters, with the ingest profile that they name.

        Raises:
            InputError: there is no such profile, or it cannot be used.
        """
        found: dict[str, Any] = super().__getitem__(key)
        ingest = found.get("ingest") if key == "parameters" else None
        if isinstance(ingest, dict) and isinstance(name := ingest.get("profile"), str):
            profile = find_profile(name, self._environments)
            ingest["profile"] = profile.model_dump(mode="json")
        return found
