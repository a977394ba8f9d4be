"""Is a paradigm good everywhere, or good on average?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import learner_of, models_in_order

_SPREAD = ("roc_auc", "brier")


def fairness(summary: pd.DataFrame) -> pd.DataFrame:
    """How a metric is spread over countries.

    All are point estimates: the worst of many noisy values looks worse than it is, and resampling
    would add to that. Of paradigms on the same rows the bias is much the same.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.comparison.summarize`.

    Returns:
        A row a model and metric (``roc_auc``, ``brier``), of the countries' means over seeds:
        paradigm, strategy, metric, n_countries, worst and worst_country (the first by name in a
        tie), bottom_decile (tenth percentile from the worse end, linear), sd (n - 1 below the
        line), share_above_local (of the countries that local training has a value for too, those
        that it does better than; NaN without it and for local itself).

    >>> rows = pd.DataFrame({"paradigm": "local", "strategy": "none", "scope": "country",
    ...     "country": ["A", "B", "C"], "metric": "roc_auc", "mean": [0.7, 0.6, 0.8]})
    >>> fairness(rows)[["worst", "worst_country", "bottom_decile", "sd"]].round(3).values.tolist()
    [[0.6, 'B', 0.62, 0.1]]
    """
    rows = summary[summary["scope"] == "country"].dropna(subset=["mean"])
    records = []
    for metric in _SPREAD:
        own = rows[rows["metric"] == metric]
        # turned so that more is better
        sign = METRICS[metric].sign
        for paradigm, strategy in models_in_order(own):
            mine = own[(own["paradigm"] == paradigm) & (own["strategy"] == strategy)]
            values = (mine.set_index("country")["mean"] * sign).sort_index()
            local = _local(own, strategy) * sign
            both = values.index.intersection(local.index)
            beats = (values[both] > local[both]).mean() if len(both) else np.nan
            records.append(
                {
                    "paradigm": paradigm,
                    "strategy": strategy,
                    "metric": metric,
                    "n_countries": len(values),
                    "worst": sign * values.min(),
                    "worst_country": values.idxmin(),
                    "bottom_decile": sign * values.quantile(0.1),
                    "sd": values.std(),
                    "share_above_local": np.nan if paradigm == "local" else beats,
                }
            )
    return pd.DataFrame.from_records(records)


def _local(rows: pd.DataFrame, strategy: str) -> pd.Series[float]:
    """The values of local training with the learner of a strategy, by country."""
    learner = learner_of(strategy)
    alike = rows["strategy"].map(learner_of) == learner
    return rows[(rows["paradigm"] == "local") & alike].set_index("country")["mean"]
