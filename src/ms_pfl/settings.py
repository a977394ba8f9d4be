"""Kedro project settings: https://docs.kedro.org/en/stable/kedro_project_setup/settings/."""

import warnings

from ms_pfl.hooks import MlflowParent, OneLineErrors, ParameterCheck, RunSummary

# `kedro run --pipeline=pfl` is the command this project is known by; Kedro 1.7 spells it
# `--pipelines` too and warns of the singular at each run.
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")

# Kedro calls the hooks of one kind from last to first: errors are reworded after MLflow has seen them.
HOOKS = (OneLineErrors(), RunSummary(), MlflowParent(), ParameterCheck())

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

# An environment's parameter files name only what differs from base.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
}
