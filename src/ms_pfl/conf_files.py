"""The files of conf/, read by Kedro once they are seen to be no larger than parameters are."""

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

from ms_pfl.input_files import check_yaml


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
