"""The parameters of conf/, as a run with the same ``--env`` reads them."""

from __future__ import annotations

from pathlib import Path

from kedro.config import OmegaConfigLoader

from ms_pfl.parameters import Parameters
from ms_pfl.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).resolve().parents[1]


def read_parameters(env: str = "base") -> Parameters:
    """Parameters of conf/base, and of conf/``env`` on top."""
    arguments = CONFIG_LOADER_ARGS | {"default_run_env": env}
    loader = OmegaConfigLoader(conf_source=str(PROJECT / "conf"), **arguments)
    return Parameters.model_validate(loader["parameters"])
