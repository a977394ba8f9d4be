"""Parameters as a run reads them, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import click
import pytest
from kedro.config import OmegaConfigLoader

from kedro_project import PROJECT
from ms_pfl.hooks.parameters import ParameterCheck
from ms_pfl.settings import CONFIG_LOADER_ARGS


def load(env: str, runtime: dict[str, Any] | None = None) -> dict[str, Any]:
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"), env=env, runtime_params=runtime, **CONFIG_LOADER_ARGS
    )
    return loader["parameters"]


def complaint(runtime: dict[str, Any]) -> str:
    """What `kedro run --params=...` says of these parameters."""

    class Context:
        config_loader = {"parameters": load("base", runtime)}  # noqa: RUF012

    with pytest.raises(click.ClickException) as caught:
        ParameterCheck().after_context_created(Context())
    assert "\n" not in caught.value.message
    return caught.value.message
