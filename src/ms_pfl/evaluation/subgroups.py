"""Does a model serve some patients worse than others?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import MIN_PATIENTS, weighted_rank_metrics
from ms_pfl.evaluation.replicates import HeldOutRows, intervals
from ms_pfl.evaluation.uncertainty import map_fits

METRICS = ("roc_auc", "brier", "observed_expected")


def score_subgroups(
    test: pd.DataFrame,
    subgroups: pd.DataFrame,
    replicates: int,
    seed: int,
    same_rows: bool = True,
) -> pd.DataFrame:
    """Score every model within each level of each subgroup, all countries together.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.
        subgroups: a row an episode: episode_id, then a column of levels (text) a subgroup, named
            in the words of the report; missing where not known.
        replicates: of the patient bootstrap.
        seed: of the bootstrap.
        same_rows: whether all fits of a seed are scored on the same rows.

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
        return _table([])
    by_episode = subgroups.set_index("episode_id")
    unknown = ~test["episode_id"].isin(by_episode.index)
    if unknown.any():
        raise InputError(
            f"subgroups: test episode {test['episode_id'][unknown].iloc[0]!r} has no row"
        )
    levels = {name: list(pd.Categorical(by_episode[name]).categories) for name in names}

    def scores(
        rows: HeldOutRows, fit: pd.DataFrame
    ) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        own = by_episode.reindex(fit["episode_id"].to_numpy())
        labels, p = fit["label"].to_numpy(), fit["probability"].to_numpy()
        found = {}
        for name in names:
            values = own[name].to_numpy(dtype=object)
            for level in levels[name]:
                mask = values == level
                if mask.any():
                    found[name, str(level)] = _score(labels, p, mask, rows)
        return found

    fits = map_fits(test, replicates, seed, scores, same_rows)
    people = test[["episode_id", "country", "patient_id"]].drop_duplicates()
    groups = by_episode.reindex(people["episode_id"].to_numpy())
    records = []
    for name in names:
        for level in map(str, levels[name]):
            own_people = people[(groups[name].astype("str") == level).to_numpy()]
            few = len(own_people[["country", "patient_id"]].drop_duplicates()) < MIN_PATIENTS
            for (paradigm, strategy), seeds in fits.items():
                own = [found[name, level] for found in seeds if (name, level) in found]
                for metric in METRICS if own else ():
                    defined = [o[metric] for o in own if not np.isnan(o[metric][0])]
                    mean = np.mean(defined, axis=0) if defined else np.array([np.nan])
                    counts = [float(np.mean([o[n] for o in own])) for n in ("n", "positive")]
                    bounds = (np.nan, np.nan) if few else intervals(mean[None])[0]
                    records.append(
                        (name, level, paradigm, strategy, metric, float(mean[0]), *bounds, *counts)
                    )
    return _table(records)


def _score(
    labels: np.ndarray, p: np.ndarray, mask: np.ndarray, rows: HeldOutRows
) -> dict[str, np.ndarray]:
    y, q = labels[mask], p[mask]
    n, positive, expected, squared = rows.sums(
        np.stack([mask, mask * labels, mask * p, mask * (p - labels) ** 2])
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # nobody of the level was drawn
        return {
            "roc_auc": weighted_rank_metrics(y, q, rows.weights, rows.patients[mask])[0],
            "brier": squared / n,
            "observed_expected": positive / expected,
            "n": np.asarray(len(y)),
            "positive": np.asarray(y.sum()),
        }


def _table(records: list[tuple[object, ...]]) -> pd.DataFrame:
    columns = ["subgroup", "level", "paradigm", "strategy", "metric", "value", "low", "high"]
    return pd.DataFrame.from_records(records, columns=[*columns, "n_episodes", "n_positive"])
