"""A training as an MLflow model: a table with a country and the features -> probabilities.

MLflow runs this file when it loads such a model. The arrays lie beside it as safetensors, so that
nothing is unpickled; parameters, seed and features are in a JSON file.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import set_model

from ms_pfl.tracking.served.rows import read_rows


class CountryModel(mlflow.pyfunc.PythonModel):
    """Predicts each row with the model of its country."""

    def load_context(self, context: Any) -> None:
        """Read the arrays and what they are to be put into."""
        from safetensors.numpy import load_file

        from ms_pfl.paradigms import Training
        from ms_pfl.training.bundle import ModelBundle
        from ms_pfl.training.settings import TrainingSettings

        told = json.loads(Path(context.artifacts["configuration"]).read_text())
        self._seed, self._features = int(told["seed"]), list(told["features"])
        self._models = ModelBundle(
            load_file(context.artifacts["arrays"]),
            Training(*told["training"]),
            TrainingSettings.model_validate(told["settings"]),
        )

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        """Return probabilities of the outcome, shape (rows,), in the order of the rows.

        Args:
            context: of MLflow; not needed once loaded.
            model_input: a DataFrame with ``country`` and every feature; NaN = missing.
            params: none are known.

        Raises:
            InputError: a column is missing, or a country has no model.
        """
        countries, x = read_rows(model_input, self._features)
        found = np.empty(len(x))
        for country, rows in pd.Series(range(len(x))).groupby(countries.to_numpy()):
            index = rows.to_numpy()
            found[index] = self._models.predict(self._seed, str(country), x[index])
        return found


set_model(CountryModel())
