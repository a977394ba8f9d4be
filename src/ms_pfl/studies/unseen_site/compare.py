"""How well is a country served that never took part, and what do its own patients add?"""

from collections.abc import Mapping
from itertools import takewhile

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.evaluate import Estimates, evaluate
from ms_pfl.evaluation.further_country import expected_from_others, summarized
from ms_pfl.evaluation.inference import BETTER, add_verdicts
from ms_pfl.evaluation.metrics import METRICS

NONE, ALL = "0", "all"
#: Whose model: the others' alone; trained on from it; from scratch; of the federation with all.
KINDS = ("global", "personal", "local", "took_part")
#: What is compared with what.
PAIRS = (
    ("personal", "global"),
    ("personal", "local"),
    ("local", "global"),
    ("took_part", "global"),
    ("took_part", "personal"),
)
ESTIMATES_COLUMNS = [
    "kind", "size", "n_patients", "scope", "country", "metric", "value", "low", "high",
    "n_countries", "expected_low", "expected_high",
]  # fmt: skip
DIFFERENCES_COLUMNS = [
    "kind", "reference", "size", "n_patients", "scope", "country", "metric", "difference", "se",
    "low", "high", "p", "verdict", "within_margin", "n_countries", "n_better",
]  # fmt: skip
#: The scope of what to expect in a further country.
FURTHER = "further"
_SCOPES = ("pooled", "macro", "country")
_DIFFERENCES = ("roc_auc", "brier", "log_loss")
_BY_COUNTRY = (METRICS["calibration_intercept"], METRICS["calibration_slope"])
_SIGNS = {name: METRICS[name].sign for name in _DIFFERENCES}
_ROW = ["seed", "country", "patient_id", "episode_id"]
_SAME = 1e-5


def measure(
    predictions: pd.DataFrame,
    test_predictions: pd.DataFrame,
    replicates: int,
    seed: int,
    margins: Mapping[str, float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every model of every size, and subtract what it is compared with.

    What is compared at a size is scored on the same test rows: those of the countries that have so
    many patients. A replicate draws patients within countries once for all models, seeds and sizes.

    Args:
        predictions: kind (``took_part``, ``global``, ``personal``, ``local``), size (``0``, numbers
            of patients, ``all``), strategy, seed, country, n_patients, patient_id, episode_id,
            label, probability; test rows of the countries that were left out.
        test_predictions: of the run in which all countries took part; its federated model of the
            same strategy is seen to be ``took_part``.
        replicates: of the bootstrap.
        seed: of the bootstrap.
        margins: by metric, the largest difference that does not matter.

    Returns:
        ``estimates``, a row per kind (also ``took_part``), size, scope (pooled, macro, country),
        country and metric: n_patients (of the country that were trained on, mean over countries and
        seeds), value (mean over seeds), low and high (95 % percentile interval; NaN where there are
        too few patients, and for calibration by country), n_countries (behind the value). Of size
        ``0`` also the scope ``further``: mean and 95 % prediction interval of a further country
        (random effects), and in each country expected_low and expected_high, the interval in which
        the value of the others' model was to be expected there, from the values that the model of
        all has in the other countries.
        ``differences``, kind minus reference (``PAIRS``) in ROC-AUC, Brier score and log-loss: each
        by itself with 95 % interval, p and verdict from one standard error
        (:mod:`ms_pfl.evaluation.inference`); n_better: countries that gain (macro alone).

    Raises:
        InputError: the run in which all took part had another model, or tested other rows.
    """
    models = _by_model(predictions, test_predictions)
    draws = draw_patients(predictions, replicates, seed)
    estimates, differences = [], []
    for size in sizes_in_order(predictions):
        of_size = {kind: rows for (kind, of), rows in models.items() if of == size}
        # what a size is about; all of its models are compared on these rows
        base = of_size.get("personal", models["global", NONE])
        of_size |= {kind: models[kind, NONE] for kind in ("global", "took_part")}
        test = pd.concat(
            base.assign(kind=kind, probability=rows.loc[base.index, "probability"])
            for kind, rows in of_size.items()
        ).reset_index()
        found = evaluate(test, ("pooled", "country"), draws, names=("kind",))
        by_country = evaluate(test, ("country",), metrics=_BY_COUNTRY, names=("kind",))
        values = pd.concat([found.intervals(), by_country.intervals()]).dropna(subset=["value"])
        own = values[values["scope"] == "country"].groupby(["kind", "metric"]).size()
        values = values.join(own.rename("n_countries"), on=["kind", "metric"])
        known = {kind for (kind,) in found.values}
        pairs = [((kind,), (other,)) for kind, other in PAIRS if {kind, other} <= known]
        gained = found.differences(pairs)
        gained = gained[gained["metric"].isin(_DIFFERENCES)]
        arrived = base.reset_index().drop_duplicates(["seed", "country"])
        trained_on = arrived.groupby("country")["n_patients"].mean()
        estimates.append(_of_size(values, size, trained_on))
        if size == NONE:
            estimates[-1] = _with_further(estimates[-1], found)
        differences.append(_of_size(gained, size, trained_on))
    return (
        pd.concat(estimates, ignore_index=True).reindex(columns=ESTIMATES_COLUMNS),
        add_verdicts(pd.concat(differences, ignore_index=True), _SIGNS, margins)[
            DIFFERENCES_COLUMNS
        ],
    )


def _with_further(table: pd.DataFrame, found: Estimates) -> pd.DataFrame:
    """Add what the countries say of a further one, and whether that held where it was seen."""
    kinds = [kind for kind in ("global", "took_part") if (kind,) in found.values]
    rows = [
        {"kind": kind, "size": NONE, "n_patients": 0.0, "scope": FURTHER, "country": "",
         "metric": metric, **own}
        for kind in kinds
        for metric in _DIFFERENCES
        if (own := summarized(found, (kind,), metric))
    ]  # fmt: skip
    table = table.assign(expected_low=np.nan, expected_high=np.nan)
    for metric in _DIFFERENCES:
        expected = expected_from_others(found, ("took_part",), ("global",), metric)
        of = (table["kind"] == "global") & (table["metric"] == metric)
        for country, bounds in expected.items():
            at = of & (table["scope"] == "country") & (table["country"] == country)
            table.loc[at, ["expected_low", "expected_high"]] = bounds
    return pd.concat([table, pd.DataFrame(rows)], ignore_index=True) if rows else table


def _of_size(table: pd.DataFrame, size: str, trained_on: pd.Series) -> pd.DataFrame:
    """Rows of the scopes that are shown; ``trained_on``: training patients of each country."""
    table = table[table["scope"].isin(_SCOPES)].rename(columns={"group": "country"})
    fixed = table["scope"].map({"pooled": len(trained_on), "country": 1})
    table = table.assign(
        size=size,
        n_patients=table["country"].map(trained_on).fillna(trained_on.mean()),
        n_countries=fixed.fillna(table["n_countries"]).astype("int64"),
    )
    texts = ("kind", "reference", "size", "scope", "country", "metric")
    return table.astype({name: "str" for name in texts if name in table})


def sizes_in_order(table: pd.DataFrame) -> list[str]:
    """Return the sizes of a table: 0 first, rising, ``all`` last.

    >>> sizes_in_order(pd.DataFrame({"size": ["all", "100", "0", "50", "50"]}))
    ['0', '50', '100', 'all']
    """
    names = {str(size) for size in table["size"]}
    return [*sorted(names - {ALL}, key=int), *sorted(names & {ALL})]


def pays_from(differences: pd.DataFrame, metric: str = "log_loss") -> str | None:
    """Return the smallest size from which on a personal model pays.

    It pays where its mean gain over countries, over the others' model, has the verdict *better*.

    Args:
        differences: of :func:`measure`.
        metric: by which it is judged.

    Returns:
        The size; None where already the largest size has another verdict.
    """
    own = differences[
        (differences["metric"] == metric)
        & (differences["scope"] == "macro")
        & (differences["kind"] == "personal")
        & (differences["reference"] == "global")
    ]
    good = dict(zip(own["size"], own["verdict"] == BETTER, strict=True))
    paying = list(takewhile(lambda size: good[size], reversed(sizes_in_order(own))))
    return paying[-1] if paying else None


def _by_model(
    predictions: pd.DataFrame, test_predictions: pd.DataFrame
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the rows of each kind and size, by seed, country, patient and episode, in their
    order."""
    models = {
        (str(kind), str(size)): rows.set_index(_ROW).sort_index()
        for (kind, size), rows in predictions.groupby(["kind", "size"], sort=True)
    }
    took_part = models["took_part", NONE]
    strategy = predictions["strategy"].iloc[0]
    federated = (
        (test_predictions["paradigm"] == "federated")
        & (test_predictions["strategy"] == strategy)
        & test_predictions["country"].isin(set(predictions["country"]))
    )
    told = test_predictions[federated].set_index(_ROW).sort_index()
    values = ["label", "probability"]
    # in another batch the last bits of a network's float32 may differ
    same = told.index.equals(took_part.index) and np.allclose(
        told[values], took_part[values], rtol=0, atol=_SAME
    )
    if not same:
        raise InputError(
            f"new_country: test_predictions, which the report is made from, are not those of the "
            f"federated model ({strategy}) that all countries took part in; run `kedro run "
            "--pipeline=pfl` with the present settings first"
        )
    return models
