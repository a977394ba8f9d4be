"""ROC curves, precision-recall curves and reliability of every model, as tables to draw."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.evaluation.calibration import reliability
from ms_pfl.paradigms import models_in_order

_GRID = np.linspace(0, 1, 101)


def operating_curves(test: pd.DataFrame) -> pd.DataFrame:
    """ROC and precision-recall curves, pooled over countries, averaged over seeds.

    The mean of true positive rate (of precision) is taken at equal false positive rate (recall):
    vertical averaging (Fawcett, Pattern Recognit Lett 27, 2006). Between the points of a
    precision-recall curve the precision of the next higher recall counts, as average precision
    has it.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.

    Returns:
        paradigm, strategy, curve (``roc``, ``pr``), x (false positive rate, recall), y (true
        positive rate, precision). Seeds whose test rows have one class are left out.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    tables = []
    for paradigm, strategy in models_in_order(test):
        own = test[(test["paradigm"] == paradigm) & (test["strategy"] == strategy)]
        rocs, prs = [], []
        for _, rows in own.groupby("seed", sort=True):
            if rows["label"].nunique() < 2:
                continue
            labels, p = rows["label"].to_numpy(), rows["probability"].to_numpy()
            false, true, _ = roc_curve(labels, p)
            rocs.append(np.interp(_GRID, false, true))
            precision, recall, _ = precision_recall_curve(labels, p)
            # recall falls; of the points with at least this recall the last one counts
            at = np.searchsorted(-recall, -_GRID, "right") - 1
            prs.append(precision[at])
        for curve, drawn in (("roc", rocs), ("pr", prs)):
            if drawn:
                y = np.mean(drawn, axis=0)
                tables.append(
                    pd.DataFrame(
                        {
                            "paradigm": paradigm,
                            "strategy": strategy,
                            "curve": curve,
                            "x": _GRID,
                            "y": y,
                        }
                    )
                )
    columns = ["paradigm", "strategy", "curve", "x", "y"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def reliability_bins(test: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Predicted against observed risk in bins of equally many episodes, seeds together.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.
        bins: at most; a model with few distinct probabilities has fewer.

    Returns:
        paradigm, strategy, predicted (mean probability), observed (share with the outcome), n
        (episodes; one that is tested in several seeds counts in each).
    """
    tables = []
    for paradigm, strategy in models_in_order(test):
        own = test[(test["paradigm"] == paradigm) & (test["strategy"] == strategy)]
        found = reliability(own["label"].to_numpy(), own["probability"].to_numpy(), bins)
        tables.append(pd.DataFrame({"paradigm": paradigm, "strategy": strategy, **found}))
    return pd.concat(tables, ignore_index=True)
