"""A model for the tests: an array's factor times the sum of the features, by country."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import set_model
from safetensors.numpy import load_file


class SumModel(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        self.factors = load_file(context.artifacts["arrays"])
        told = json.loads(Path(context.artifacts["configuration"]).read_text())
        self.features = list(told["features"])

    def predict(self, context: Any, model_input: pd.DataFrame) -> np.ndarray:
        factors = model_input["country"].map(lambda country: float(self.factors[country][0]))
        return (model_input[self.features].sum(axis=1) * factors).to_numpy()


set_model(SumModel())
