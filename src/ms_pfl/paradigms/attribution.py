"""What models make of the features: permutation importance, country by country.

Breiman, Mach Learn 45 (2001); of groups of features that tell much the same thing, because to
permute one of several correlated columns makes patients whom nobody has seen (Fisher et al., JMLR
20, 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ms_pfl.federation.partitions import CountryRows, federation_data
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.paradigms.saved_models import SavedModels

COLUMNS = [
    "paradigm", "strategy", "seed", "country", "repeat", "group", "increase", "n_episodes",
]  # fmt: skip
_EPSILON = float(np.finfo(np.float64).eps)
_TRAIN, _TEST = 0, 2


def importance(
    models: Mapping[tuple[str, str], SavedModels],
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    groups: Mapping[str, Sequence[str]],
    repeats: int,
    seed: int,
) -> pd.DataFrame:
    """How much a model's log-loss rises when it no longer knows a group of features.

    The columns of a group are permuted together among a country's own test episodes; the rest of
    each episode stays. All models of a seed and country see the same permutations. Log-loss,
    because it is defined for a country with one class too.

    Args:
        models: (paradigm, strategy) -> its saved models.
        episodes: the episodes table.
        splits: the splits table; its seeds are those of the models.
        groups: name -> feature columns.
        repeats: permutations of each group.
        seed: of the permutations.

    Returns:
        A row a model, seed, country, permutation and group: ``increase`` of the mean log-loss
        (nats) over the country's ``n_episodes`` test episodes; below 0 where the model does better
        without (by chance, or because it has learnt what does not hold). Countries with fewer than
        two test episodes in a seed are left out of it.
    """
    data = federation_data(episodes, splits)
    where = {name: i for i, name in enumerate(data.features)}
    columns = {name: [where[c] for c in group if c in where] for name, group in groups.items()}
    columns = {name: found for name, found in columns.items() if found}
    records = []
    for country, rows in data.countries.items():
        for split in data.seeds:
            test = rows.splits[split] == _TEST
            n = int(test.sum())
            if n < 2:
                continue
            random = np.random.default_rng(derive_seed(seed, split, country, "attribution"))
            orders = [random.permutation(n) for _ in range(repeats)]
            variants = _permuted(rows.x[test], columns, orders)
            for (paradigm, strategy), saved in models.items():
                losses = _losses(saved, split, country, rows, variants, rows.y[test])
                increases = (losses[1:] - losses[0]).reshape(repeats, len(columns))
                records += [
                    (paradigm, strategy, split, country, repeat, group, increase, n)
                    for repeat, of_groups in enumerate(increases)
                    for group, increase in zip(columns, of_groups, strict=True)
                ]
    table = pd.DataFrame.from_records(records, columns=COLUMNS)
    return table.astype(dict.fromkeys(("paradigm", "strategy", "country", "group"), "str"))


def _permuted(
    x: np.ndarray, columns: Mapping[str, list[int]], orders: Sequence[np.ndarray]
) -> np.ndarray:
    """The rows as they are, then each permutation of each group; (1 + k, rows, features)."""
    variants = np.repeat(x[None], 1 + len(orders) * len(columns), axis=0)
    number = 1
    for order in orders:
        for group in columns.values():
            variants[number][:, group] = x[order][:, group]
            number += 1
    return variants


def _losses(
    saved: SavedModels,
    seed: int,
    country: str,
    rows: CountryRows,
    variants: np.ndarray,
    labels: np.ndarray,
) -> np.ndarray:
    """Mean log-loss of each variant of the rows, shape (variants,)."""
    flat = variants.reshape(-1, variants.shape[2])
    train = rows.x[rows.splits[seed] == _TRAIN]
    p = saved.predict(seed, country, flat, train).reshape(variants.shape[:2])
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return np.asarray(-np.where(labels > 0, np.log(p), np.log1p(-p)).mean(axis=1))
