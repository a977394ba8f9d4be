"""What do the models use? Permutation importance of groups of features, country by country.

Breiman, Machine Learning 45:5-32 (2001); of groups of columns and of any model: Fisher, Rudin and
Dominici, JMLR 20:177 (2019). The columns of a group are shuffled together among the rows of a
country, and the model's log-loss there rises by what it took from them. It tells what a model uses
to predict, not what causes the outcome; and what two groups both tell is credited to neither alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import federation_data
from ms_pfl.learning.parameters import Device
from ms_pfl.learning.scoring import log_loss_sum
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.paradigms import Training
from ms_pfl.studies.parameters import AttributionParameters
from ms_pfl.training.bundle import ModelBundle, SavedModel
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import rows_of

IMPORTANCE_COLUMNS = (
    "paradigm",
    "strategy",
    "seed",
    "country",
    "group",
    "repeat",
    "increase",
    "n_episodes",
)


def importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: Mapping[Training, Mapping[str, np.ndarray]],
    groups: Mapping[str, Sequence[str]],
    settings: TrainingSettings,
    attribution: AttributionParameters,
    device: Device = "auto",
) -> pd.DataFrame:
    """How much the log-loss on test episodes rises when a group of features is shuffled.

    All models of a seed are asked about the same test episodes with the same permutations, so that
    they differ by what they use alone. A permutation derives from names (country, group) and
    numbers (seeds, repeat), so a real site draws the same, and a further group changes no other.
    Rows are shuffled singly, also those of one patient. A permutation may leave some in place, the
    more so the fewer there are (one in ``n`` on average), for all models alike.

    Args:
        episodes: the episodes table.
        splits: the splits table, once per seed.
        models: the ``models`` of each training.
        groups: feature columns by the group's name; each feature in one group.
        settings: of the trainings.
        attribution: number of permutations, and their seed.
        device: to compute on.

    Returns:
        One row per model, seed, country, group and permutation: paradigm, strategy, seed, country,
        group, repeat (from 0), increase (nats: mean log-loss per test episode with the group
        shuffled, minus that without), n_episodes (test episodes). Countries with fewer than two
        test episodes in a seed have no rows in it. Country ``""``: all test episodes together,
        shuffled within countries, each predicted by its own country's model.

    Raises:
        InputError: the groups do not fit the features; the models were trained on other data or
            with other settings, or not with the seeds of the splits.
    """
    data = federation_data(episodes, splits)
    columns = _columns(groups, data.features)
    saved = {
        key: ModelBundle.of(
            arrays, key, settings, rows_of(key, data, episodes, splits, settings), device
        )
        for key, arrays in models.items()
    }
    records: list[tuple[object, ...]] = []
    for seed in data.seeds:
        sums = {key: np.zeros((len(columns), attribution.repeats)) for key in saved}
        total = 0
        for country, rows in data.countries.items():
            test = rows.client_data(seed).test
            n = len(test.y)
            total += n
            if n > 1:  # else nothing can be shuffled
                drawn = _permutations(n, list(columns), (seed, country), attribution)
                for key, of_model in saved.items():
                    rise = _rise(of_model.model(seed, country), test.x, test.y, columns, drawn)
                    sums[key] += rise
                    records += _records(key, seed, country, columns, rise / n, n)
        for key, rise in sums.items():
            if total:
                records += _records(key, seed, "", columns, rise / total, total)
    table = pd.DataFrame.from_records(records, columns=list(IMPORTANCE_COLUMNS))
    return table.astype(dict.fromkeys(("paradigm", "strategy", "country", "group"), "str"))


def _columns(
    groups: Mapping[str, Sequence[str]], features: Sequence[str]
) -> dict[str, NDArray[np.intp]]:
    """Positions of each group's columns."""
    position = {name: i for i, name in enumerate(features)}
    named = [column for columns in groups.values() for column in columns]
    for column in named:
        if column not in position:
            raise InputError(f"feature groups: {column} is no feature; leave it out")
        if named.count(column) > 1:
            raise InputError(f"feature groups: {column} is named twice; keep it in one group")
    left = [name for name in features if name not in set(named)]
    if left:
        raise InputError(f"feature groups: {left[0]} is in no group; put it into one")
    return {
        name: np.array([position[column] for column in columns], dtype=np.intp)
        for name, columns in groups.items()
        if columns
    }


def _permutations(
    n: int, groups: Sequence[str], where: tuple[int, str], attribution: AttributionParameters
) -> dict[str, list[NDArray[np.intp]]]:
    """By group the permutations of ``n`` rows."""
    return {
        group: [
            np.random.default_rng(
                derive_seed(attribution.seed, "permutation", *where, group, repeat)
            ).permutation(n)
            for repeat in range(attribution.repeats)
        ]
        for group in groups
    }


def _rise(
    model: SavedModel,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    columns: Mapping[str, NDArray[np.intp]],
    drawn: Mapping[str, Sequence[NDArray[np.intp]]],
) -> NDArray[np.float64]:
    """Rise of the log-loss, summed over rows; shape ``(groups, repeats)``."""
    # One batch a permutation, of the size of the unshuffled one: rows that did not change give
    # the same bits then, so that a group which a model does not use rises by 0 and not by 1e-9.
    base = log_loss_sum(model.logits(x), y)
    rise = []
    for group, of_group in columns.items():
        shuffled = x.copy()
        for permutation in drawn[group]:
            shuffled[:, of_group] = x[permutation][:, of_group]
            rise.append(log_loss_sum(model.logits(shuffled), y) - base)
    return np.array(rise).reshape(len(columns), -1)


def _records(
    key: Training,
    seed: int,
    country: str,
    groups: Mapping[str, object],
    increase: NDArray[np.float64],
    n: int,
) -> list[tuple[object, ...]]:
    return [
        (*key, seed, country, group, repeat, float(value), n)
        for group, values in zip(groups, increase, strict=True)
        for repeat, value in enumerate(values)
    ]
