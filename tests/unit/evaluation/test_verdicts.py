"""Interval, p and verdict of a difference: by hand, against other packages, and never at odds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, t

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.differences import COLUMNS, planned_differences
from ms_pfl.evaluation.evaluate import Estimates, evaluate
from ms_pfl.evaluation.inference import (
    BETTER,
    EQUIVALENT,
    INCONCLUSIVE,
    LEVEL,
    NO_VERDICT,
    VERDICTS,
    WORSE,
    add_verdicts,
    holm,
    holm_levels,
    pointwise,
    procedure_interval,
    simultaneous,
    standard_errors,
    verdict,
)
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.evaluation.parameters import ComparisonParameters, PrimaryParameters
from ms_pfl.evaluation.scoring import check_predictions
from ms_pfl.reporting.verdicts import digits_of, verdict_cell
from ms_pfl.reporting.words import p_value, signed

FINITE = st.floats(-0.1, 0.1)
ERRORS = st.one_of(st.just(0.0), st.just(math.nan), st.floats(1e-6, 0.1))


def test_standard_errors_leave_out_what_is_missing() -> None:
    drawn = np.array([[0.5, 0.1, math.nan, 0.4, 0.7], [0.5, math.nan, math.nan, 1.0, math.nan]])
    assert standard_errors(drawn)[0] == pytest.approx(np.std([0.1, 0.4, 0.7], ddof=1))
    assert math.isnan(standard_errors(drawn)[1])
    assert standard_errors(np.full((1, 1001), 0.1))[0] == 0


def test_interval_and_p_have_no_floor() -> None:
    found = pointwise(np.array([0.05]), np.array([0.01]), 30)
    half = t.ppf(0.975, 30) * 0.01
    np.testing.assert_allclose([found.low[0], found.high[0]], [0.05 - half, 0.05 + half])
    assert found.p[0] == pytest.approx(2 * t.sf(5, 30))
    assert pointwise(np.array([0.05]), np.array([0.001]), 600).p[0] < 1e-20


def test_no_spread_says_nothing_unless_there_is_no_difference() -> None:
    found = pointwise(np.array([0.0, 0.01, 0.01]), np.array([0.0, 0.0, math.nan]), 600)
    np.testing.assert_array_equal(found.p, [1, 1, math.nan])
    np.testing.assert_array_equal(found.low, [0, math.nan, math.nan])
    np.testing.assert_array_equal(found.high, [0, math.nan, math.nan])


# -- several at once -------------------------------------------------------------------------------


def drawn_with(correlation: float, observed: list[float]) -> np.ndarray:
    random = np.random.default_rng(3)
    k = len(observed)
    covariance = np.full((k, k), correlation) + (1 - correlation) * np.eye(k)
    return np.c_[observed, 0.01 * random.multivariate_normal(np.zeros(k), covariance, 4000).T]


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
def test_the_maximum_of_t_is_scipys(correlation: float) -> None:
    observed = [0.0, 0.018, -0.026, 0.04]
    drawn = drawn_with(correlation, observed)
    found = simultaneous(drawn, 10_000)
    errors = standard_errors(drawn)
    normal = multivariate_normal(cov=np.corrcoef(drawn[:, 1:]), seed=1)
    for j, ratio in enumerate(np.abs(observed) / errors):
        exact = 1 - normal.cdf(np.full(4, ratio), lower_limit=np.full(4, -ratio))
        assert found.p[j] == pytest.approx(exact, abs=0.005)
    half = (found.high - found.low)[0] / 2 / errors[0]
    assert normal.cdf(np.full(4, half), lower_limit=np.full(4, -half)) == pytest.approx(
        0.95, abs=0.005
    )
    alone = pointwise(drawn[:, 0], errors, 10_000)
    assert (found.p >= alone.p - 1e-5).all()
    assert (found.low <= alone.low).all()


def test_one_alone_and_the_same_twice_cost_nothing() -> None:
    one = drawn_with(0.0, [0.02])
    alone = pointwise(one[:, 0], standard_errors(one), 200)
    for drawn in (one, np.r_[one, one]):
        found = simultaneous(drawn, 200)
        assert found.p[0] == pytest.approx(alone.p[0], abs=0.003)
        assert found.low[0] == pytest.approx(alone.low[0], abs=2e-4)


def test_what_does_not_vary_stands_beside_the_others() -> None:
    drawn = np.r_[drawn_with(0.0, [0.05]), np.zeros((1, 4001)), np.full((1, 4001), 0.01)]
    found = simultaneous(drawn, 200)
    np.testing.assert_array_equal(found.p[1:], [1, 1])
    assert (found.low[1], found.high[1]) == (0, 0)
    assert math.isnan(found.low[2])
    assert found.p[0] < 0.001


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), min_size=1, max_size=8))
def test_holms_levels_agree_with_holms_p(p: list[float]) -> None:
    given_p = pd.Series(p)
    known = given_p.dropna()
    levels = holm_levels(given_p)
    assert levels.isna().equals(given_p.isna())
    if known.empty:
        return
    assert levels.dropna().between(LEVEL / len(known) * (1 - 1e-9), LEVEL * (1 + 1e-9)).all()
    order = known.sort_values(kind="stable")
    steps = np.minimum(1, np.maximum.accumulate(order * np.arange(len(order), 0, -1)))
    adjusted = pd.Series(steps, index=order.index)[known.index]
    near = (adjusted - LEVEL).abs() < 1e-9
    assert ((known < levels[known.index]) | near).eq((adjusted < LEVEL) | near).all()


# -- verdicts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "sign", "margin", "expected"),
    [
        (0.001, 0.02, 1, 0.01, BETTER),
        (0.001, 0.02, -1, 0.01, WORSE),
        (-0.02, -0.001, 1, 0.01, WORSE),
        (0.001, 0.005, 1, 0.01, BETTER),  # by less than the margin, which is no equivalence
        (-0.009, 0.009, 1, 0.01, EQUIVALENT),
        (-0.01, 0.009, 1, 0.01, INCONCLUSIVE),
        (-0.009, 0.009, 1, math.nan, INCONCLUSIVE),
        (0.0, 0.0, 1, 0.01, EQUIVALENT),
        (0.0, 0.009, 1, 0.01, EQUIVALENT),
        (math.nan, math.nan, 1, 0.01, NO_VERDICT),
        (0.1, 0.2, math.nan, 0.01, NO_VERDICT),
    ],
)
def test_verdicts_by_hand(
    low: float, high: float, sign: float, margin: float, expected: str
) -> None:
    assert verdict(low, high, sign, margin) == expected


@given(
    st.lists(st.tuples(FINITE, ERRORS), min_size=1, max_size=12),
    st.sampled_from([1, 5, 20, 600]),
    st.sampled_from(["roc_auc", "log_loss"]),
    st.one_of(st.none(), st.floats(0.001, 0.2)),
    st.booleans(),
)
def test_no_verdict_contradicts_a_number_beside_it(
    cells: list[tuple[float, float]], freedom: int, metric: str, margin: float | None, adjust: bool
) -> None:
    difference, errors = np.array(cells).T
    found = pointwise(difference, errors, freedom)
    if adjust:
        p = pd.Series(found.p)
        tested = pointwise(difference, errors, freedom, holm_levels(p).to_numpy())
        low, high, shown = tested.low, tested.high, holm(p).to_numpy()
    else:
        low, high, shown = found.low, found.high, found.p
    assume(not (np.abs(shown - LEVEL) < 1e-9).any())
    table = pd.DataFrame(
        {"metric": metric, "difference": difference, "low": low, "high": high, "p": shown}
    )
    sign = METRICS[metric].sign
    margins = {} if margin is None else {metric: margin}
    for row in add_verdicts(table, {metric: sign}, margins).to_dict("records"):
        check_row(row, sign, math.nan if margin is None else margin)


def check_row(row: dict, sign: float, margin: float) -> None:
    """Verdict, sign, interval, p and margin say the same."""
    said, low, high = row["verdict"], row["low"], row["high"]
    if math.isnan(low):
        assert said == NO_VERDICT
        assert math.isnan(row["p"]) or row["p"] == 1
        return
    assert said in VERDICTS
    assert low <= row["difference"] <= high
    assert (row["p"] < LEVEL) == (low > 0 or high < 0) == (said in (BETTER, WORSE))
    if said in (BETTER, WORSE):
        assert (sign * row["difference"] > 0) == (said == BETTER)
    inside = max(-low, high) < margin  # False where no margin is set
    assert row["within_margin"] == inside
    assert (said == EQUIVALENT) == (inside and low <= 0 <= high)
    cell = verdict_cell({"role": "exploratory", **row})
    assert cell.startswith(said)
    assert ("by less than the margin" in cell) == (said in (BETTER, WORSE) and inside)
    check_printed(row)


def check_printed(row: dict) -> None:
    """Rounding hides no side: of zero for the interval, of .05 for p."""
    ends = signed(row, digits_of(row["metric"])).split(" ", 1)[1].strip("[]").split(", ")
    for end, printed in zip((row["low"], row["high"]), ends, strict=True):
        if abs(end) > 1e-8:
            assert (float(printed) > 0) == (end > 0)
            assert (float(printed) < 0) == (end < 0)
    p = float(p_value(row["p"]).lstrip("<"))
    assert (p < LEVEL) == (row["p"] < LEVEL) or abs(row["p"] - LEVEL) < 1e-8


@pytest.fixture(scope="module")
def found(predictions: pd.DataFrame) -> Estimates:
    test = check_predictions(predictions)
    return evaluate(test, ("pooled", "country"), draw_patients(test, 100, 0))


@pytest.fixture(scope="module")
def judged(found: Estimates) -> pd.DataFrame:
    return planned_differences(found, PRIMARY, MARGINS, test_to_train=1 / 3)


MARGINS = {"roc_auc": 0.01, "log_loss": 0.002, "brier": 0.001}
PRIMARY = PrimaryParameters(
    strategy="fedprox",
    pairs=(("fine_tuned", "federated"), ("federated", "local")),
    metrics=("roc_auc", "log_loss"),
)


def test_no_row_of_a_comparison_contradicts_itself(judged: pd.DataFrame) -> None:
    assert list(judged.columns) == COLUMNS
    signs = {name: metric.sign for name, metric in METRICS.items()}
    for row in judged.to_dict("records"):
        if math.isnan(signs[row["metric"]]):
            assert row["verdict"] == NO_VERDICT
        else:
            check_row(row, signs[row["metric"]], MARGINS.get(row["metric"], math.nan))


def test_primary_rows_are_those_that_were_named(judged: pd.DataFrame) -> None:
    own = judged[judged["role"] == "primary"]
    assert {
        tuple(row) for row in own[["paradigm", "strategy", "reference", "metric"]].to_numpy()
    } == {
        (paradigm, "fedprox", reference, metric)
        for paradigm, reference in PRIMARY.pairs
        for metric in PRIMARY.metrics
    }
    assert set(own["scope"]) == {"pooled"}
    assert set(own["adjusted"]) == {"max-t"}
    assert (own["p"] >= own["unadjusted_p"] - 1e-4).all()
    assert (own["low"] <= own["unadjusted_low"]).all()
    others = judged[judged["role"] != "primary"]
    assert set(others.loc[others["country"] == "", "adjusted"]) == {"Holm"}
    assert set(others.loc[others["country"] != "", "adjusted"]) == {""}


def test_primary_comparisons_cost_the_others_nothing(
    judged: pd.DataFrame, found: Estimates
) -> None:
    """They are not counted in Holm's families."""
    without = planned_differences(found)
    assert set(without["role"]) == {"exploratory"}
    both = judged["role"] == "exploratory"
    assert (
        (judged.loc[both, "p"] <= without.loc[both, "p"] + 1e-12)
        .where(judged.loc[both, "p"].notna(), True)
        .all()
    )
    assert set(without["verdict"]) <= {*VERDICTS, NO_VERDICT} - {EQUIVALENT}


def test_a_primary_comparison_of_what_was_not_trained_is_refused(found: Estimates) -> None:
    absent = PRIMARY.model_copy(update={"strategy": "fedadam"})
    with pytest.raises(
        InputError, match=r"comparison\.primary': Fine-tuned FedAdam is not compared"
    ):
        planned_differences(found, absent)


# -- the procedure ---------------------------------------------------------------------------------


def test_the_interval_of_the_procedure_by_hand() -> None:
    values = np.array([0.01, 0.03, 0.02, 0.05, 0.04, math.nan])
    spread = math.sqrt((1 / 5 + 0.25) * np.var(values[:5], ddof=1))
    low, high = procedure_interval(values, 0.25)
    assert high - low == pytest.approx(2 * t.ppf(0.975, 4) * spread)
    assert (low + high) / 2 == pytest.approx(0.03)


def test_too_few_seeds_have_none(judged: pd.DataFrame) -> None:
    assert math.isnan(procedure_interval(np.arange(4.0), 0.3)[0])
    assert math.isnan(procedure_interval(np.arange(9.0), math.nan)[0])
    assert judged["procedure_low"].isna().all()
    assert judged.loc[judged["country"] == "", "sd"].notna().all()


def test_five_seeds_have_one(predictions: pd.DataFrame) -> None:
    chosen = predictions[predictions["paradigm"].isin(["local", "centralized"])]
    more = pd.concat([chosen.assign(seed=chosen["seed"] + 10 * i) for i in range(2)])
    test = check_predictions(more)
    found = evaluate(test, ("pooled", "country"), draw_patients(test, 20, 0))
    table = planned_differences(found, test_to_train=1 / 3)
    known = table["procedure_low"].notna()
    assert known.eq(table["country"] == "").all()
    centers = table.loc[known, ["procedure_low", "procedure_high"]].mean(axis=1)
    np.testing.assert_allclose(centers, table.loc[known, "difference"], atol=1e-9)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"strategy": "fedmedian"}, "no such strategy"),
        ({"pairs": [["local", "federated"]]}, "it is compared with: centralized"),
        ({"pairs": [["centralized", "local"]]}, "it is compared with nothing"),
        ({"pairs": [["mine", "local"]]}, "it is no paradigm"),
        ({"metrics": ["calibration_slope"]}, "no difference in 'calibration_slope' is better"),
        ({"pairs": []}, "at least 1 item"),
    ],
)
def test_impossible_primary_comparisons_are_refused(given_: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PrimaryParameters.model_validate(PRIMARY.model_dump() | given_)


@pytest.mark.parametrize("margin", [{"roc_auc": 0}, {"roc": 0.1}, {"observed_expected": 0.1}])
def test_impossible_margins_are_refused(margin: dict) -> None:
    with pytest.raises(ValueError, match=r"margin|greater than 0"):
        ComparisonParameters(replicates=100, seed=0, thresholds=(0.2,), margin=margin)
