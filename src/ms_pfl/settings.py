"""Kedro project settings: https://docs.kedro.org/en/stable/kedro_project_setup/settings/."""

import warnings

from ms_pfl.conf_files import ConfLoader
from ms_pfl.config import CONFIG_LOADER_ARGS
from ms_pfl.console import widen_pipes
from ms_pfl.hooks.errors import OneLineErrors
from ms_pfl.hooks.lineage import Lineage
from ms_pfl.hooks.parameters import ParameterCheck
from ms_pfl.hooks.private_files import PrivateFiles
from ms_pfl.hooks.run import FinishedRun, MlflowParent, RunLock, RunSummary
from ms_pfl.log_text import print_messages_only

widen_pipes()
print_messages_only()  # Kedro lets conf/logging.yml name filters of its own alone

# `kedro run --pipeline=pfl` is the command this project is known by; Kedro 1.7 spells it
# `--pipelines` too and warns of the singular at each run.
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")

# `federated.fedavg.models` has dots on purpose: they are the namespace and the strategy.
warnings.filterwarnings("ignore", message="One or more dataset names contain '.' characters")

# Of Kedro-Viz, about itself, at each `kedro viz`.
warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")

CONFIG_LOADER_CLASS = ConfLoader

# Kedro calls hooks of one kind from last to first: MLflow sees an error before it is reworded.
HOOKS = (
    OneLineErrors(),
    RunSummary(),
    FinishedRun(),
    MlflowParent(),
    Lineage(),
    RunLock(),
    ParameterCheck(),
    PrivateFiles(),
)

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

__all__ = ["CONFIG_LOADER_ARGS", "CONFIG_LOADER_CLASS", "DISABLE_HOOKS_FOR_PLUGINS", "HOOKS"]
