"""Does a model serve some patients worse than others?"""

from __future__ import annotations

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import Draws
from ms_pfl.evaluation.evaluate import PARADIGM, evaluate
from ms_pfl.evaluation.metrics import METRICS

SCORED = ("roc_auc", "brier", "observed_expected")
_COLUMNS = ["subgroup", "level", *PARADIGM, "metric", "value", "low", "high"]
_COLUMNS += ["n_episodes", "n_positive"]


def score_subgroups(test: pd.DataFrame, subgroups: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Score every model within each level of each subgroup, all countries together.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.
        subgroups: a row an episode: episode_id, then a column of levels (text) a subgroup, named
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
        return pd.DataFrame(columns=_COLUMNS)
    by_episode = subgroups.set_index("episode_id")
    unknown = ~test["episode_id"].isin(by_episode.index)
    if unknown.any():
        raise InputError(
            f"subgroups: test episode {test['episode_id'][unknown].iloc[0]!r} has no row"
        )
    own = by_episode.reindex(test["episode_id"].to_numpy())
    grouped = test.assign(**{name: pd.Categorical(own[name]) for name in names})
    found = evaluate(grouped, names, draws, metrics=[METRICS[name] for name in SCORED])
    table = found.intervals().rename(columns={"scope": "subgroup", "group": "level"})
    levels = [(name, str(level)) for name in names for level in grouped[name].cat.categories]
    rank = [levels.index(key) for key in zip(table["subgroup"], table["level"], strict=True)]
    order = pd.Series(rank, dtype="int64").sort_values(kind="stable").index
    return table.loc[order, _COLUMNS].reset_index(drop=True)
