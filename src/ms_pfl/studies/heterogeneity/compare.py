"""Gains over the federated model: means over data seeds, with simultaneous intervals."""

import numpy as np
import pandas as pd
from scipy import stats

from ms_pfl.errors import InputError
from ms_pfl.studies.heterogeneity.train import TRAININGS

REFERENCE = TRAININGS[0]
_REGISTRY = ["way", "knob", "scope"]
GAIN_COLUMNS = [
    "way", "knob", "paradigm", "strategy", "scope", "federated", "gain", "low", "high", "sd",
    "n_seeds",
]  # fmt: skip


def measure(scores: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Subtract the federated ROC-AUC of the same registry, and average over data seeds.

    A data seed is another registry: other deviations of countries, other people. Intervals are of
    Student's t over the data seeds, and simultaneous over the models that are compared with the
    federated one (Bonferroni): all intervals of a registry and scope hold at once with probability
    ``level``.

    Args:
        scores: the table of :func:`ms_pfl.studies.heterogeneity.train.train_registries`.
        level: of confidence.

    Returns:
        A row per registry, model and scope: way, knob, paradigm, strategy, scope, federated
        (ROC-AUC, mean over data seeds), gain, low, high, sd (of the gain over data seeds; NaN with
        one seed, as low and high are), n_seeds.

    Raises:
        InputError: a registry has no federated model.

    >>> scores = pd.DataFrame({
    ...     "way": "common", "knob": 1.0, "data_seed": [1, 1, 2, 2], "strategy": "fedavg",
    ...     "paradigm": ["federated", "adaptive"] * 2, "scope": "pooled",
    ...     "roc_auc": [0.70, 0.71, 0.72, 0.75], "n_countries": 32,
    ... })
    >>> measure(scores)[["gain", "n_seeds"]].round(3).to_numpy().tolist()
    [[0.02, 2.0]]
    """
    is_reference = scores["paradigm"] == REFERENCE.paradigm
    keys = [*_REGISTRY, "data_seed"]
    base = scores.loc[is_reference, [*keys, "roc_auc"]].rename(columns={"roc_auc": "federated"})
    paired = scores[~is_reference].merge(base, on=keys, how="left", validate="many_to_one")
    if len(paired) and not paired[keys].merge(base[keys]).shape[0] == len(paired):
        raise InputError("heterogeneity: a registry has no federated model to compare with")
    paired["gain"] = paired["roc_auc"] - paired["federated"]
    n_models = len(paired[["paradigm", "strategy"]].drop_duplicates())
    records = []
    groups = paired.groupby(["way", "knob", "paradigm", "strategy", "scope"], sort=False)
    for key, own in groups:
        known = own.dropna(subset=["gain"])
        n, gain, sd = len(known), known["gain"].mean(), known["gain"].std(ddof=1)
        half = np.nan
        if n > 1:
            half = stats.t.isf((1 - level) / 2 / n_models, n - 1) * sd / np.sqrt(n)
        records.append((*key, known["federated"].mean(), gain, gain - half, gain + half, sd, n))
    table = pd.DataFrame.from_records(records, columns=GAIN_COLUMNS)
    return table.astype(dict.fromkeys(("way", "paradigm", "strategy", "scope"), "str"))
