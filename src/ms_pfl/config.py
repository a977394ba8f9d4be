"""The base of all typed settings, and how the folder conf/ is read."""

from typing import Any

from pydantic import BaseModel, ConfigDict

#: Arguments of Kedro's configuration loader: an environment's parameter files name only what
#: differs from base.
CONFIG_LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
}


class Section(BaseModel):
    """A section of the settings: unknown keys are errors, values are finite and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
