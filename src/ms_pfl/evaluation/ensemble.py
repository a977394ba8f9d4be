r"""A site's candidates together: the weighted mean of the logits of its models.

Each site weighs its candidates by their posterior probabilities (Yao et al., Bayesian Anal 13,
2018, pseudo-BMA): :math:`w_k \propto \exp(-\sum_i \bar\ell_{ik})`, with
:math:`\bar\ell_{ik}` the mean log-loss of validation patient i's episodes. A patient counts once,
because the episodes of one are alike. With few patients, or candidates that are as good as each
other, the weights are nearly equal: they are shrunk by construction.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.calibration import inside, logit

ENSEMBLE = "ensemble"
#: The models of a strategy that a site can choose from. Local ones are left out: of small sites
#: they are far worse, which so few validation patients do not show.
CANDIDATES = ("federated", "fine_tuned", "adaptive")
_FIT = ["strategy", "seed"]
_ROW = ["country", "patient_id", "episode_id"]


def combine_candidates(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of an ensemble of each strategy that has at least two candidates.

    Args:
        predictions: in the predictions contract, with both splits; of the labels those of
            validation rows are read.

    Returns:
        The same columns, with the paradigm ``ensemble``; no row where no strategy has two.
    """
    own = predictions[predictions["paradigm"].isin(CANDIDATES)]
    tables = []
    for _, rows in own.groupby(_FIT, sort=True):
        models = {str(name): part for name, part in rows.groupby("paradigm", sort=True)}
        ordered = [part.sort_values(_ROW, ignore_index=True) for part in models.values()]
        # a protocol may test models on rows of their own, which have no mean
        alike = all(part[[*_ROW, "split"]].equals(ordered[0][[*_ROW, "split"]]) for part in ordered)
        if len(models) > 1 and alike:
            known = (ordered[0]["split"] == "validation").to_numpy()
            risks = np.array([part["probability"].to_numpy(np.float64) for part in ordered])
            mixed = mix(ordered[0], risks, known)
            tables.append(ordered[0].assign(paradigm=ENSEMBLE, probability=mixed))
    return pd.concat(tables, ignore_index=True) if tables else own.iloc[:0]


def mix(
    rows: pd.DataFrame, risks: NDArray[np.float64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the risks of the ensemble, each row's by the weights of its country.

    Args:
        rows: country, patient_id and label, shape (rows,).
        risks: of each candidate, shape (candidates, rows).
        known: of which rows the labels may be used, shape (rows,).
    """
    weights = weigh(rows[known], risks[:, known])
    equal = np.full(len(risks), 1 / len(risks))
    by_country = {country: weights.get(str(country), equal) for country in rows["country"].unique()}
    own = np.array([by_country[country] for country in rows["country"]]).reshape(-1, len(risks)).T
    mixed = (own * np.array([logit(one) for one in risks])).sum(axis=0)
    return np.asarray(1 / (1 + np.exp(-mixed)), dtype=np.float64)


def weigh(rows: pd.DataFrame, risks: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the weights of the candidates by country, each of shape (candidates,), sum 1.

    Args:
        rows: validation rows: country, patient_id, label.
        risks: of each candidate, shape (candidates, rows).

    >>> rows = pd.DataFrame({"country": "A", "patient_id": ["p", "p", "q"], "label": [1, 1, 0]})
    >>> weigh(rows, np.array([[0.5, 0.5, 0.5], [0.8, 0.8, 0.2]]))["A"].round(3).tolist()
    [0.281, 0.719]
    """
    p = inside(risks)
    losses = -np.where(rows["label"].to_numpy() == 1, np.log(p), np.log1p(-p))
    by_row = pd.DataFrame(losses.T, index=rows.index)
    keys = [rows["country"], rows["patient_id"]]
    totals = by_row.groupby(keys, sort=True).mean().groupby(level=0, sort=True).sum()
    found = {}
    for country, total in zip(totals.index, totals.to_numpy(), strict=True):
        likely = np.exp(total.min() - total)
        found[str(country)] = likely / likely.sum()
    return found
