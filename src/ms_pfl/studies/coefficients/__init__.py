"""The coefficients of the logistic regressions that countries share."""
