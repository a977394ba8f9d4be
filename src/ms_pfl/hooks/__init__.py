"""What happens around a `kedro run`: checks, records, readable errors, MLflow, a summary."""

from ms_pfl.hooks.errors import OneLineErrors
from ms_pfl.hooks.lineage import Lineage
from ms_pfl.hooks.parameters import ParameterCheck
from ms_pfl.hooks.run import FinishedRun, MlflowParent, RunLock, RunSummary

__all__ = [
    "FinishedRun",
    "Lineage",
    "MlflowParent",
    "OneLineErrors",
    "ParameterCheck",
    "RunLock",
    "RunSummary",
]
