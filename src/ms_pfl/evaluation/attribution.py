"""Which features a country's personal model uses, beside the global one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.names import models_in_order

GLOBAL = "federated"
#: From so many test episodes (over all seeds) on a country's profile is judged.
MIN_EPISODES = 30
_MODEL = ["paradigm", "strategy"]


def mean_importance(importance: pd.DataFrame) -> pd.DataFrame:
    """Average over permutations, seeds and countries.

    Args:
        importance: the table of :func:`ms_pfl.paradigms.attribution.importance`.

    Returns:
        paradigm, strategy, group, increase (mean over test episodes of all countries, then over
        seeds), sd (over seeds, n - 1 below the line), the most important group of the global model
        first.
    """
    weighted = importance.assign(total=importance["increase"] * importance["n_episodes"])
    sums = weighted.groupby([*_MODEL, "group", "seed", "repeat"])[["total", "n_episodes"]].sum()
    values = (sums["total"] / sums["n_episodes"]).groupby([*_MODEL, "group", "seed"]).mean()
    table = values.groupby([*_MODEL, "group"]).agg(increase="mean", sd="std").reset_index()
    of_global = table[table["paradigm"] == GLOBAL].set_index("group")["increase"]
    order = of_global if len(of_global) else table.groupby("group")["increase"].mean()
    position = {name: i for i, name in enumerate(order.sort_values(ascending=False).index)}
    models = models_in_order(table)
    rank = [models.index(m) for m in zip(table["paradigm"], table["strategy"], strict=True)]
    table = table.assign(rank=rank, position=table["group"].map(position))
    return table.sort_values(["rank", "position"], ignore_index=True).drop(
        columns=["rank", "position"]
    )


def profile(increases: pd.Series) -> NDArray[np.float64]:
    """Shares of importance: increases below 0 count as 0, and the rest add up to 1.

    >>> profile(pd.Series([0.03, -0.01, 0.01])).tolist()
    [0.75, 0.0, 0.25]
    """
    values = np.maximum(increases.to_numpy(dtype=np.float64), 0.0)
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), np.nan)


def compare_profiles(importance: pd.DataFrame) -> pd.DataFrame:
    """How far the features that each country's personal model uses are from the global model's.

    The distance is the total variation of two profiles, ``sum |a - b| / 2``: the share of
    importance that lies on other features, 0 to 1. Profiles of few episodes differ by chance; the
    yardstick is the distance of the *same* personal model's profiles on the odd and on the even
    permutations, together with that of the global one. A paradigm of another architecture is some
    way off everywhere, so its median over countries is a yardstick too. A country stands out where
    its distance exceeds all three by half again and is at least 0.1.

    Args:
        importance: the table of :func:`ms_pfl.paradigms.attribution.importance`, the global model
            (``federated``) and the personal ones in it.

    Returns:
        paradigm, strategy, country, n_episodes (test episodes over all seeds), distance, noise,
        top_global and top_personal (the most important group), stands_out; the farthest first
        within each model. Countries with fewer than ``MIN_EPISODES`` do not stand out.
    """
    groups = sorted(importance["group"].unique())
    odd = importance["repeat"] % 2 == 1
    profiles = {
        half: _profiles(importance[mask], groups)
        for half, mask in (("all", odd | ~odd), ("odd", odd), ("even", ~odd))
    }
    once = importance.drop_duplicates(["country", "seed"])
    episodes = once.groupby("country")["n_episodes"].sum()
    records = []
    for (paradigm, strategy, country), personal in profiles["all"].items():
        reference = profiles["all"].get((GLOBAL, strategy, country))
        if paradigm == GLOBAL or reference is None:
            continue
        noise = max(
            _distance(profiles["odd"][key], profiles["even"][key])
            for key in ((paradigm, strategy, country), (GLOBAL, strategy, country))
        )
        distance = _distance(personal, reference)
        n = int(episodes[country])
        records.append(
            {
                "paradigm": paradigm,
                "strategy": strategy,
                "country": country,
                "n_episodes": n,
                "distance": distance,
                "noise": noise,
                "top_global": _top(reference, groups),
                "top_personal": _top(personal, groups),
            }
        )
    columns = [
        "paradigm", "strategy", "country", "n_episodes", "distance", "noise", "top_global",
        "top_personal",
    ]  # fmt: skip
    table = pd.DataFrame.from_records(records, columns=columns)
    judged = table["distance"].where(table["n_episodes"] >= MIN_EPISODES)
    typical = judged.groupby([table["paradigm"], table["strategy"]]).transform("median")
    yardstick = np.maximum(1.5 * np.maximum(table["noise"], typical), 0.1)
    table["stands_out"] = (judged >= yardstick).astype(bool)
    return table.sort_values(
        ["paradigm", "strategy", "distance", "country"],
        ascending=[True, True, False, True],
        ignore_index=True,
    )


def _profiles(
    importance: pd.DataFrame, groups: list[str]
) -> dict[tuple[str, str, str], NDArray[np.float64]]:
    """The profile of each model and country, from its mean over seeds and permutations."""
    means = importance.groupby([*_MODEL, "country", "group"])["increase"].mean().unstack("group")
    return {
        (str(key[0]), str(key[1]), str(key[2])): profile(row[groups])
        for key, row in means.iterrows()
        if isinstance(key, tuple)
    }


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).sum() / 2)


def _top(shares: NDArray[np.float64], groups: list[str]) -> str:
    return "none" if np.isnan(shares).any() else groups[int(shares.argmax())]
