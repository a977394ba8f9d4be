"""From predictions to metrics, and over seeds: the same estimands for every paradigm.

Every paradigm is judged on the same held-out patients, which is checked first.
"""

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.metrics import METRICS, SCOPES
from ms_pfl.paradigms import model_name, models_in_order

_FIT = ["paradigm", "strategy", "seed"]
COLUMNS = [*_FIT, "country", "patient_id", "episode_id", "split", "label", "probability"]
_SPLITS = ("validation", "test")


def check_predictions(predictions: pd.DataFrame, same_rows: bool = True) -> pd.DataFrame:
    """Return the test rows of a predictions table, checked and in one fixed order.

    Args:
        predictions: one row per episode, paradigm, strategy and seed (all fits below each
            other), with the columns ``COLUMNS``; ``label`` 0 or 1, ``probability`` in [0, 1].
        same_rows: insist that all fits of a seed were scored on the same patients, held out whole.
            Only a protocol that breaks with it on purpose may do without (``docs/audit.md``).

    Returns:
        The rows of the test split with ``label`` int8 and ``probability`` float64, sorted by
        paradigm, strategy, seed, country and episode.

    Raises:
        InputError: a column or a value is missing; a value is out of range; an episode occurs
            twice in a fit; a patient has both validation and test episodes; there is no test
            episode; or two fits of one seed were not scored on identical test rows. A comparison
            between models that saw different patients would say nothing.
    """
    missing = [name for name in COLUMNS if name not in predictions.columns]
    if missing:
        raise InputError(f"predictions: column {missing[0]!r} is missing; needed: {COLUMNS}")
    _check_values(predictions)
    if same_rows:
        _check_patients(predictions)
    test = predictions.loc[predictions["split"] == "test", COLUMNS]
    if test.empty:
        raise InputError("predictions: there is no test row; every fit must score the test split")
    test = test.assign(
        label=test["label"].astype("int8"), probability=test["probability"].astype("float64")
    )
    test = test.sort_values([*_FIT, "country", "episode_id"], ignore_index=True)
    if same_rows:
        _check_identical_rows(test)
    return test


def _check_values(predictions: pd.DataFrame) -> None:
    for name in ("country", "patient_id", "episode_id", *_FIT):
        _refuse(
            predictions,
            predictions[name].isna(),
            f": {name} is missing",
            f"; give every row its {name}",
        )
    label, probability = (
        pd.to_numeric(predictions[name], errors="coerce").astype("float64")
        for name in ("label", "probability")
    )
    # what is missing is in none of these
    wrong = {
        "split": (~predictions["split"].isin(_SPLITS), "'validation' or 'test'"),
        "label": (~label.isin((0.0, 1.0)), "0 or 1"),
        "probability": (~probability.between(0, 1), "a number in [0, 1]"),
    }
    for name, (rows, allowed) in wrong.items():
        _refuse(predictions, rows, f": {name} is {{{name}}}, must be {allowed}")
    _refuse(
        predictions,
        predictions.duplicated([*_FIT, "episode_id"]),
        " occurs more than once in this fit",
        "; give every fit one row per episode",
    )


def _refuse(predictions: pd.DataFrame, rows: pd.Series, problem: str, remedy: str = "") -> None:
    """Raise where there are such rows; ``{column}`` in ``problem`` stands for the first's value."""
    if rows.any():
        first = predictions[rows.to_numpy()].iloc[0]
        problem = problem.format_map(first)
        raise InputError(
            f"predictions: {_where(first)}{problem} ({int(rows.sum()):,} such rows){remedy}"
        )


def _check_patients(predictions: pd.DataFrame) -> None:
    # by country too: hospitals number their patients alike
    splits = predictions[["seed", "country", "patient_id", "split"]].drop_duplicates()
    twice = splits.duplicated(["seed", "country", "patient_id"])
    if twice.any():
        row = splits[twice].iloc[0]
        raise InputError(
            f"predictions: patient {row['patient_id']!r} of {row['country']} has validation and "
            f"test episodes in seed {row['seed']}; split by patient"
        )


def _check_identical_rows(test: pd.DataFrame) -> None:
    columns = ["country", "episode_id", "patient_id", "label"]
    fits = {
        (model_name(*map(str, fit[:2])), int(str(fit[2]))): rows[columns].reset_index(drop=True)
        for fit, rows in test.groupby(_FIT, sort=True)
    }
    every_seed = {seed for _, seed in fits}
    for name, _ in fits:
        missing = every_seed - {seed for other, seed in fits if other == name}
        if missing:
            raise InputError(
                f"predictions: {name} has no test rows for seed {min(missing)}, other paradigms "
                "have; train all with the same seeds"
            )
    reference: dict[int, tuple[str, pd.DataFrame]] = {}
    for (name, seed), rows in fits.items():
        known_name, known = reference.setdefault(seed, (name, rows))
        if not rows.equals(known):  # both are sorted
            odd = pd.concat([known, rows]).drop_duplicates(keep=False).iloc[0]
            raise InputError(
                f"predictions: {known_name} ({len(known):,} test rows) and {name} "
                f"({len(rows):,}) were not scored on the same test rows in seed {seed}: episode "
                f"{odd['episode_id']!r} of {odd['country']} differs; train all paradigms on the "
                "same episodes and splits"
            )


def _where(row: pd.Series) -> str:
    fit = model_name(str(row["paradigm"]), str(row["strategy"]))
    return f"{fit}, seed {row['seed']}, episode {row['episode_id']!r}"


def score(predictions: pd.DataFrame, same_rows: bool = True) -> pd.DataFrame:
    """Score the test split of every fit, pooled, over countries and by country.

    * ``pooled``: the metric of all test episodes together, whatever their country.
    * ``country``: the metric of one country's test episodes.
    * ``macro``: the mean of the country values, every country counting the same.
    * ``weighted``: their mean weighted by the country's test episodes.

    Measures of calibration beyond Brier score and log-loss come pooled and by country only.

    ROC-AUC and PR-AUC (and calibration slope and intercept) are undefined where a country's test
    episodes are all of one class: such a country has a NaN of its own, is left out of ``macro``
    and ``weighted``, and is counted in ``n_left_out``. Brier score and log-loss are defined there
    and keep it.

    Args:
        predictions: the concatenated predictions tables of all fits, see
            :func:`check_predictions`.
        same_rows: as there.

    Returns:
        A long table: paradigm, strategy, seed, scope, country (empty unless scope is
        ``country``), metric (a key of ``METRICS``), value,
        n_episodes and n_positive (of the rows behind the value; of the country or of all
        countries where the value is undefined), n_countries (behind the value), n_left_out
        (countries left out because they have one class).

    Raises:
        InputError: the table is malformed, or paradigms were scored on different rows.
    """
    return evaluate(check_predictions(predictions, same_rows), ("pooled", "country")).observed()


def coverage(predictions: pd.DataFrame, same_rows: bool = True) -> pd.DataFrame:
    """Count, for each seed, what the comparison rests on.

    Args:
        predictions: as for :func:`score`.
        same_rows: as there.

    Returns:
        One row per seed: seed, n_patients, n_episodes, n_positive (test split), n_countries
        (with test episodes), n_single_class (of those, with test episodes of one class only).

    Raises:
        InputError: as :func:`score`.
    """
    records = []
    for seed, rows in check_predictions(predictions, same_rows).groupby("seed", sort=True):
        fit = rows.drop_duplicates("episode_id")
        classes = fit.groupby("country")["label"].nunique()
        records.append(
            {
                "seed": seed,
                "n_patients": len(fit[["country", "patient_id"]].drop_duplicates()),
                "n_episodes": len(fit),
                "n_positive": int(fit["label"].sum()),
                "n_countries": len(classes),
                "n_single_class": int((classes == 1).sum()),
            }
        )
    return pd.DataFrame.from_records(records)


def summarize(metrics: pd.DataFrame) -> pd.DataFrame:
    """Give mean and standard deviation over seeds of every metric.

    Args:
        metrics: the table of :func:`score`.

    Returns:
        One row per paradigm, strategy, scope, country and metric: mean and sd (n - 1 below the
        line) over the seeds in which the value is defined; n_seeds, how many those are (sd is
        NaN with fewer than two); n_episodes and n_positive, their mean over all seeds;
        n_left_out_min and n_left_out_max, the countries left out. The sd is what another split
        and other initial weights change; it is no confidence interval.

    Examples:
        >>> rows = pd.DataFrame({
        ...     "paradigm": "local", "strategy": "none", "seed": [0, 1, 2], "scope": "pooled",
        ...     "country": "", "metric": "roc_auc", "value": [0.70, 0.72, 0.74],
        ...     "n_episodes": 10, "n_positive": 4, "n_countries": 2, "n_left_out": 0,
        ... })
        >>> summarize(rows)[["mean", "sd", "n_seeds"]].round(4).values.tolist()
        [[0.72, 0.02, 3.0]]
    """
    summary = (
        metrics.groupby(["paradigm", "strategy", "scope", "country", "metric"], sort=False)
        .agg(
            mean=("value", "mean"),
            sd=("value", "std"),
            n_seeds=("value", "count"),
            n_episodes=("n_episodes", "mean"),
            n_positive=("n_positive", "mean"),
            n_left_out_min=("n_left_out", "min"),
            n_left_out_max=("n_left_out", "max"),
        )
        .reset_index()
    )
    models = models_in_order(summary)
    places = summary[["country"]].assign(
        model=[models.index(m) for m in zip(summary.paradigm, summary.strategy, strict=True)],
        scope=summary["scope"].map(list(SCOPES).index),
        metric=summary["metric"].map(list(METRICS).index),
    )
    order = places.sort_values(["model", "scope", "country", "metric"]).index
    return summary.loc[order].reset_index(drop=True)
