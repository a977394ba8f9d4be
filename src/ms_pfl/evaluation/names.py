"""Full words for the identifiers of metrics and scopes, and their order."""

from __future__ import annotations

METRICS = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier score",
    "log_loss": "Log-loss",
    "calibration_error": "Calibration error",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
    "observed_expected": "Observed / expected",
}
# Those of calibration are best at 0 or 1, so they are not here.
HIGHER_IS_BETTER = {"roc_auc": True, "pr_auc": True, "brier": False, "log_loss": False}
SCOPES = {
    "pooled": "pooled",
    "macro": "macro",
    "weighted": "size-weighted",
    "country": "by country",
}
