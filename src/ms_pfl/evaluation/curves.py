"""Learning, ROC, precision-recall, reliability and decision curves, and the distribution of risks,
as tables to draw."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import Draws, intervals
from ms_pfl.evaluation.calibration import reliability
from ms_pfl.evaluation.evaluate import PARADIGM, evaluate
from ms_pfl.evaluation.metrics import Columns, Group, Metric
from ms_pfl.paradigms import model_name, models_in_order

#: The row of decision curves for acting on everybody.
TREAT_ALL = ("treat_all", "")
_VALUES = ["n_validation", "validation_loss", "validation_roc_auc", "selected"]
_COLUMNS = ["paradigm", "strategy", "seed", "round", "country", *_VALUES]
_GRID = np.linspace(0, 1, 101)


def learning_curves(history: pd.DataFrame) -> pd.DataFrame:
    """Average each round's validation scores over countries, weighted by validation episodes.

    Where every country stops at an epoch of its own (local training, fine-tuning), a country
    that has stopped counts on with the epoch whose weights it uses. Without that, the tail of
    the curve would show the few countries that trained longest. A country whose score is
    undefined in a round (no validation episodes; one class, for ROC-AUC) is left out of it.

    Args:
        history: one row per paradigm, strategy, seed, round and country.

    Returns:
        paradigm, strategy, seed, round, validation_log_loss, validation_roc_auc (NaN where no
        country has one), n_validation (episodes behind the loss), selected (the round whose
        weights are used, where it is the same for all countries).

    Raises:
        InputError: a column is missing or a country has two rows for one round.
    """
    missing = [name for name in _COLUMNS if name not in history.columns]
    if missing:
        raise InputError(f"history: column {missing[0]!r} is missing")
    keys = ["paradigm", "strategy", "seed"]
    twice = history.duplicated([*keys, "round", "country"])
    if twice.any():
        row = history[twice].iloc[0]
        raise InputError(
            f"history: {model_name(row['paradigm'], row['strategy'])}, seed {row['seed']}, round "
            f"{row['round']}: {row['country']} occurs more than once"
        )
    if history.empty:
        raise InputError("history: there is no row; train at least one paradigm")
    curves = {fit: _curve(rows) for fit, rows in history.groupby(keys, sort=True)}
    table = pd.concat(curves, names=keys).reset_index(keys).reset_index(drop=True)
    return table.astype({"paradigm": "str", "strategy": "str"})


def _curve(rows: pd.DataFrame) -> pd.DataFrame:
    table = rows.pivot(index="round", columns="country", values=_VALUES)
    rounds = table.index.to_numpy(dtype=np.int64)
    trained = table["n_validation"].notna().to_numpy()
    chosen = (table["selected"].astype("float64") == 1.0).to_numpy()
    # positions in `rounds`, one per country: its last round, and the one whose weights it uses
    last = len(rounds) - 1 - trained[::-1].argmax(axis=0)
    kept = np.where(chosen.any(axis=0), len(rounds) - 1 - chosen[::-1].argmax(axis=0), last)
    stopped = np.arange(len(rounds))[:, np.newaxis] > last
    sizes = np.nanmax(table["n_validation"].to_numpy(dtype=np.float64), axis=0)
    scores = {}
    for column in ("validation_roc_auc", "validation_loss"):
        values = table[column].to_numpy(dtype=np.float64)
        values = np.where(stopped, values[kept, np.arange(len(kept))], values)
        scores[column], behind = np.ma.average(
            np.ma.masked_invalid(values), axis=1, weights=np.broadcast_to(sizes, values.shape),
            returned=True,
        )  # fmt: skip
    shared = bool(chosen.any(axis=0).all()) and len(set(kept)) == 1
    return pd.DataFrame(
        {
            "round": rounds,
            "validation_log_loss": np.ma.filled(scores["validation_loss"], np.nan),
            "validation_roc_auc": np.ma.filled(scores["validation_roc_auc"], np.nan),
            "n_validation": np.ma.filled(behind, 0).astype(np.int64),
            "selected": (np.arange(len(rounds)) == kept[0]) & shared,
        }
    )


def operating_curves(test: pd.DataFrame) -> pd.DataFrame:
    """ROC and precision-recall curves, pooled over countries, averaged over seeds.

    The mean of true positive rate (of precision) is taken at equal false positive rate (recall):
    vertical averaging (Fawcett, Pattern Recognit Lett 27, 2006). Between the points of a
    precision-recall curve the precision of the next higher recall counts, as average precision
    has it.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.scoring.check_predictions`.

    Returns:
        paradigm, strategy, curve (``roc``, ``pr``), x (false positive rate, recall), y (true
        positive rate, precision). Seeds whose test rows have one class are left out.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    tables = []
    for paradigm, strategy in models_in_order(test):
        own = test[(test["paradigm"] == paradigm) & (test["strategy"] == strategy)]
        drawn: dict[str, list[NDArray[np.float64]]] = {"roc": [], "pr": []}
        for _, rows in own.groupby("seed", sort=True):
            labels, p = rows["label"].to_numpy(), rows["probability"].to_numpy()
            if labels.min() != labels.max():
                false, true, _ = roc_curve(labels, p)
                drawn["roc"].append(np.interp(_GRID, false, true))
                precision, recall, _ = precision_recall_curve(labels, p)
                # recall falls; of the points with at least this recall the last one counts
                drawn["pr"].append(precision[np.searchsorted(-recall, -_GRID, "right") - 1])
        tables += [
            (paradigm, strategy, curve, x, y)
            for curve, lines in drawn.items()
            if lines
            for x, y in zip(_GRID, np.mean(lines, axis=0), strict=True)
        ]
    columns = ["paradigm", "strategy", "curve", "x", "y"]
    return pd.DataFrame.from_records(tables, columns=columns)


def reliability_bins(test: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Predicted against observed risk in bins of equally many episodes, seeds together.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.scoring.check_predictions`.
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


def risk_distribution(test: pd.DataFrame, bins: int = 50) -> pd.DataFrame:
    """Count predicted risks by outcome, in bins of equal width between 0 and 1, seeds together.

    What a calibration curve does not show: how many patients have which risk, and how far the risks
    of those with and without the outcome lie apart (recommended beside it by Van Calster et al.,
    Lancet Digit Health, 2025, 100916).

    Args:
        test: the rows of :func:`ms_pfl.evaluation.scoring.check_predictions`.
        bins: of equal width; the last one holds a risk of 1 too.

    Returns:
        paradigm, strategy, label (0, 1), low, high (bounds of the bin), n (episodes; one that is
        tested in several seeds counts in each). Bins without an episode are there too.
    """
    edges = np.linspace(0, 1, bins + 1)
    tables = []
    models = test.groupby(["paradigm", "strategy"])
    for paradigm, strategy in models_in_order(test):
        own = models.get_group((paradigm, strategy))
        for label in (0, 1):
            n, _ = np.histogram(own.loc[own["label"] == label, "probability"], edges)
            tables.append(
                pd.DataFrame(
                    {"paradigm": paradigm, "strategy": strategy, "label": label, "low": edges[:-1],
                     "high": edges[1:], "n": n}
                )
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def net_benefit(threshold: float) -> Metric:
    r"""Return net benefit at a threshold in (0, 1) as a metric.

    :math:`TP/n - FP/n \cdot t/(1-t)` (Vickers and Elkin, Med Decis Making 26, 2006). Episodes with
    a risk of at least ``t`` are acted on; the odds of the threshold weigh an unnecessary act
    against a missed one. Acting on nobody has the value 0; at most it is the share of positives.

    >>> p = np.array([0.1, 0.4, 0.6, 0.9])
    >>> round(net_benefit(0.5).plain(np.array([0, 1, 0, 1]), p), 4)
    0.0
    """
    odds = threshold / (1 - threshold)

    def value(group: Group) -> Columns:
        return group.mean(np.where(group.labels > 0, 1.0, -odds) * (group.risks >= threshold))

    return Metric(f"net_benefit_{threshold}", f"Net benefit at {threshold}", value)


def decision_curves(test: pd.DataFrame, thresholds: Sequence[float], draws: Draws) -> pd.DataFrame:
    """Return net benefit of every model over thresholds, with intervals, and of treating everybody.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.scoring.check_predictions`.
        thresholds: risks from which on one would act, each in (0, 1).
        draws: of the patients.

    Returns:
        paradigm (``treat_all`` for acting on everybody), strategy, threshold, net_benefit (mean
        over seeds), low, high (95 % percentile interval). Treating nobody is 0 everywhere.
    """
    # the rows of a seed are the same for all models
    first = (test[list(PARADIGM)] == test[list(PARADIGM)].iloc[0]).all(axis=1)
    everybody = test[first].assign(**dict(zip(PARADIGM, TREAT_ALL, strict=True)), probability=1.0)
    found = evaluate(
        pd.concat([test, everybody], ignore_index=True), ("pooled",), draws,
        metrics=[net_benefit(float(threshold)) for threshold in thresholds],
    )  # fmt: skip
    records = []
    for model, values in found.values.items():
        drawn = np.array(list(values.values()))
        records += [
            (*model, float(threshold), float(own[0]), *bounds)
            for threshold, own, bounds in zip(thresholds, drawn, intervals(drawn), strict=True)
        ]
    columns = [*PARADIGM, "threshold", "net_benefit", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)
