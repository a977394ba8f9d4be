"""A predictor as an MLflow model: a table with a country and the features -> risks.

MLflow runs this file when it loads such a model. The predictor's two files lie beside it; nothing
is unpickled.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.models import set_model

from ms_pfl.tracking.served.rows import read_rows


class CountryRisks(mlflow.pyfunc.PythonModel):
    """Each row's risk by the model of its country, or the global one where it has none."""

    def load_context(self, context: Any) -> None:
        """Read the predictor, which is checked to be whole and to fit this version."""
        from ms_pfl.prediction.predictor import read_predictor

        self._predictor = read_predictor(context.artifacts["predictor"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return risks of the outcome, one row per row: risk, risk_low, risk_high, range, model.

        Args:
            context: of MLflow; not needed once loaded.
            model_input: a DataFrame with ``country`` and every feature; NaN = missing.
            params: none are known.

        Raises:
            InputError: a column is missing.
        """
        from ms_pfl.prediction.risks import risks

        countries, x = read_rows(model_input, self._predictor.description.features)
        found = risks(self._predictor, countries, x, drivers=False)
        return found[["risk", "risk_low", "risk_high", "range", "model"]]


set_model(CountryRisks())
