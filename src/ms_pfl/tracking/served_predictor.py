"""A predictor as an MLflow model: a table with a country and the features -> risks.

MLflow runs this file when it loads such a model. The predictor's two files lie beside it; nothing
is unpickled.
"""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import set_model

from ms_pfl.errors import InputError
from ms_pfl.names import normal_cells


class CountryRisks(mlflow.pyfunc.PythonModel):
    """Each row's risk by the model of its country, or the global one where it has none."""

    def load_context(self, context: Any) -> None:
        """Read the predictor, which is checked to be whole and to fit this version."""
        from ms_pfl.prediction.predictor import read_predictor

        self._predictor = read_predictor(context.artifacts["predictor"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Risks of the outcome, a row a row of the input: risk, risk_low, risk_high, model.

        Args:
            context: of MLflow; not needed once loaded.
            model_input: a DataFrame with ``country`` and every feature; NaN = missing.
            params: none are known.

        Raises:
            InputError: a column is missing.
        """
        from ms_pfl.prediction.risks import risks

        features = list(self._predictor.description.features)
        missing = [name for name in ("country", *features) if name not in model_input]
        if missing:
            raise InputError(f"column {missing[0]!r} is missing; this model needs it")
        x = model_input[features].to_numpy(dtype=np.float32, na_value=np.nan)
        countries = normal_cells(model_input["country"].astype("str"))
        found = risks(self._predictor, countries, x, drivers=False)
        return found[["risk", "risk_low", "risk_high", "model"]]


set_model(CountryRisks())
