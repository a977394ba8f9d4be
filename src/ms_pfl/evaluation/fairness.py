"""Is a paradigm good everywhere and for all patients, or good on average?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import Draws
from ms_pfl.evaluation.evaluate import PARADIGM, evaluate
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import learner_of, models_in_order

_SPREAD = ("roc_auc", "brier")
_SCORED = ("roc_auc", "brier", "observed_expected")
_SUBGROUP_COLUMNS = [
    "subgroup", "level", *PARADIGM, "metric", "value", "low", "high", "n_episodes", "n_positive",
]  # fmt: skip


def fairness(summary: pd.DataFrame) -> pd.DataFrame:
    """How a metric is spread over countries.

    All are point estimates: the worst of many noisy values looks worse than it is, and resampling
    would add to that. Of paradigms on the same rows the bias is much the same.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.

    Returns:
        A row per model and metric (``roc_auc``, ``brier``), of the countries' means over seeds:
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
    """Return the values of local training with the learner of a strategy, by country."""
    alike = rows["strategy"].map(learner_of) == learner_of(strategy)
    return rows[(rows["paradigm"] == "local") & alike].set_index("country")["mean"]


def score_subgroups(test: pd.DataFrame, subgroups: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Score every model within each level of each subgroup, all countries together.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.scoring.check_predictions`.
        subgroups: a row per episode: episode_id, then a column of levels (text) per subgroup, named
            in the words of the report; missing where not known.
        draws: of the patients.

    Returns:
        subgroup, level, paradigm, strategy, metric (``roc_auc``, ``brier``,
        ``observed_expected``), value (mean over the seeds in which it is defined), low, high (95 %
        percentile interval; NaN with fewer than ``MIN_PATIENTS`` test patients), n_episodes and
        n_positive (means over seeds of test episodes). Levels keep the order of the table's
        categories, or of the alphabet.

    Raises:
        InputError: a test episode has no row in ``subgroups``.
    """
    names = [str(name) for name in subgroups.columns if name != "episode_id"]
    if not names:
        return pd.DataFrame(columns=_SUBGROUP_COLUMNS)
    by_episode = subgroups.set_index("episode_id")
    unknown = ~test["episode_id"].isin(by_episode.index)
    if unknown.any():
        raise InputError(
            f"subgroups: test episode {test['episode_id'][unknown].iloc[0]!r} has no row"
        )
    own = by_episode.reindex(test["episode_id"].to_numpy())
    grouped = test.assign(**{name: pd.Categorical(own[name]) for name in names})
    found = evaluate(grouped, names, draws, metrics=[METRICS[name] for name in _SCORED])
    table = found.intervals().rename(columns={"scope": "subgroup", "group": "level"})
    levels = [(name, str(level)) for name in names for level in grouped[name].cat.categories]
    rank = table[["subgroup", "level"]].apply(tuple, axis="columns").map(levels.index)
    order = rank.sort_values(kind="stable").index
    return table.loc[order, _SUBGROUP_COLUMNS].reset_index(drop=True)
