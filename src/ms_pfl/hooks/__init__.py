"""What happens around a `kedro run`: checked parameters, readable errors, MLflow, a summary."""

from ms_pfl.hooks.errors import OneLineErrors
from ms_pfl.hooks.mlflow_parent import MlflowParent
from ms_pfl.hooks.parameters import ParameterCheck
from ms_pfl.hooks.summary import FinishedRun, RunSummary

__all__ = ["FinishedRun", "MlflowParent", "OneLineErrors", "ParameterCheck", "RunSummary"]
