"""Boosted trees: what sites grow together is what one grows who has all rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation_examples import STRATEGIES, RecordingGrid, tables
from hypothesis_profiles import examples
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.partitions import POOLED, CountryRows, FederationData, federation_data
from ms_pfl.learning import trees
from ms_pfl.learning.bins import Bins
from ms_pfl.learning.learners import with_own
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.programs.federated import fit_together
from ms_pfl.training.resume import UnfinishedTraining
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome
from ms_pfl.training.train import Sites, Task, train
from paradigm_examples import Study, parameters

PARADIGMS = ("centralized", "local", "federated", "fine_tuned", "adaptive")
COLUMNS = ["seed", "country", "episode_id", "split", "probability"]


def told(**changes: object) -> TrainingSettings:
    own: dict[str, object] = dict(STRATEGIES["trees"])  # type: ignore[arg-type]
    return parameters(strategies=STRATEGIES | {"trees": own | changes})


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(told=told())


def model_of(outcome: Outcome, place: str) -> dict[str, np.ndarray]:
    found = {
        name.removeprefix(f"{place}/"): array
        for name, array in outcome.models.items()
        if name.startswith(f"{place}/")
    }
    assert found.keys() >= trees.TYPES.keys()
    return found


def same_predictions(one: Outcome, other: Outcome) -> None:
    a, b = (
        outcome.predictions[COLUMNS].sort_values(COLUMNS[:-1], ignore_index=True)
        for outcome in (one, other)
    )
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_federated_trees_are_those_of_the_pooled_rows(study: Study) -> None:
    federated, centralized = (study.outcome(p, "trees") for p in ("federated", "centralized"))
    for seed in (0, 1):
        one, other = (model_of(o, f"seed={seed}/shared") for o in (federated, centralized))
        assert trees.count(one) == trees.count(other) > 0
        assert (one["feature"] >= 0).any(), "else nothing is tested"
        for name in trees.TYPES:
            np.testing.assert_array_equal(one[name], other[name], strict=True)
        cuts = (o.models[f"seed={seed}/inputs/cuts"] for o in (federated, centralized))
        np.testing.assert_array_equal(*cuts)
    same_predictions(federated, centralized)


@given(places=st.lists(st.integers(0, 4), min_size=24, max_size=24), data=st.data())
@settings(max_examples=examples(15), deadline=None)
def test_for_every_partition_federated_is_centralized(
    places: list[int], data: st.DataObject
) -> None:
    """Sites of one class, of one row and without a value of a feature too; ties."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(24, 2)).astype(np.float32).round(1)
    y = (np.arange(24) % 3 == 0).astype(np.float32)
    x[:, 0] += y
    missing = data.draw(st.lists(st.booleans(), min_size=48, max_size=48))
    x[np.array(missing).reshape(24, 2)] = np.nan
    countries = {}
    for place in sorted(set(places)):
        mine = np.array(places) == place
        name, n = "ABCDE"[place], int(mine.sum())
        countries[name] = CountryRows(name, x[mine], y[mine], {0: np.zeros(n, np.int8)})
    rows = FederationData(("a", "b"), (0,), countries, {}, "")
    found = {}
    for paradigm in ("centralized", "federated"):
        names = (POOLED,) if paradigm == "centralized" else tuple(countries)
        # without validation rows a node alone takes the model without a tree, so all are asked for
        settings = told(trees=4, least_hessian=0.1, l2=0.5)
        with LocalGrid(rows, [Node(name, 0) for name in names]) as grid:
            task = Task(
                Training("federated", "trees"), Sites(names, rows.features), settings, "cpu",
                lambda *_, grid=grid: grid, lambda _: None, (0,),
                lambda seed: Checkpoints(None, f"seed={seed}", 1),
            )  # fmt: skip
            found[paradigm] = fit_together(task, grid, 0).shared
    for name in trees.TYPES:
        np.testing.assert_array_equal(found["federated"][name], found["centralized"][name])


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_predictions_are_those_of_the_saved_model(study: Study, paradigm: str) -> None:
    outcome = study.outcome(paradigm, "trees")
    data = federation_data(*study.tables)
    bundle = ModelBundle.of(outcome.models, Training(paradigm, "trees"), study.told, data)
    for country in data.countries:
        test = data.rows(country).client_data(0).test
        rows = outcome.predictions.query("seed == 0 and split == 'test'")
        mine = rows[rows["country"] == country]["probability"]
        np.testing.assert_array_equal(np.sort(bundle.predict(0, country, test.x)), np.sort(mine))


def test_without_own_trees_it_is_the_federated_model(study: Study) -> None:
    """Bit for bit: none that are private, none on top, and where validation wants none."""
    federated = study.outcome("federated", "trees")
    none_private = Study(told=told(private_every=0)).outcome("adaptive", "trees")
    for name in trees.TYPES:
        place = f"seed=0/shared/{name}"
        np.testing.assert_array_equal(none_private.models[place], federated.models[place])
    same_predictions(none_private, federated)
    same_predictions(Study(told=told(own_trees=0)).outcome("fine_tuned", "trees"), federated)


def test_private_trees_belong_to_their_country(study: Study) -> None:
    outcome = study.outcome("adaptive", "trees")
    data = federation_data(*study.tables)
    shared = model_of(outcome, "seed=0/shared")
    inputs = Bins(*(outcome.models[f"seed=0/inputs/{name}"] for name in ("cuts", "medians")))
    for country in data.countries:
        own = {
            name.rpartition("/")[2]: array
            for name, array in outcome.models.items()
            if name.startswith(f"seed=0/personal/{country}/")
        }
        both = with_own({**shared, **own})
        assert trees.count(both) == trees.count(shared) + trees.count(shared) // 2
        assert np.abs(both["value"][trees.count(shared) :]).max() > 0
        test = data.rows(country).client_data(0).test
        z = trees.logits(both, inputs.apply(test.x))
        rows = outcome.predictions.query("seed == 0 and split == 'test'")
        mine = rows[rows["country"] == country]["probability"]
        np.testing.assert_allclose(np.sort(mine), np.sort(1 / (1 + np.exp(-z))), rtol=1e-12)


def test_private_trees_are_in_no_message() -> None:
    data = federation_data(*tables())
    with RecordingGrid(data, [Node(country, 0) for country in data.countries]) as grid:
        task = Task(
            Training("adaptive", "trees"), Sites(tuple(data.countries), data.features), told(),
            "cpu", lambda *_: grid, lambda _: None, (0,),
            lambda seed: Checkpoints(None, f"seed={seed}", 1),
        )  # fmt: skip
        done = fit_together(task, grid, 0)
        up = [content for direction, _, content in grid.traffic if direction == "up"]
    assert any(own["own_value"].any() for own in done.personal.values())
    records = [record for content in up for name, record in content.items() if name != "metrics"]
    assert {name for record in records for name in record} == {
        "counts", "missing-together", "labels", "histogram", "loss", "validation", "test",
    }  # fmt: skip


def test_the_history_counts_trees_and_the_lowest_log_loss_is_selected(study: Study) -> None:
    history = study.outcome("federated", "trees").history
    for _, rows in history.groupby("seed"):
        looks = sorted(set(rows["round"]))
        assert looks == list(range(2, looks[-1] + 1, 2))
        total = rows.groupby("round")[["validation_loss", "n_validation"]].apply(
            lambda of: np.average(of["validation_loss"], weights=of["n_validation"])
        )
        assert set(rows.loc[rows["selected"], "round"]) == {total.idxmin()}
        assert rows["train_loss"].is_monotonic_decreasing
        assert (rows["bytes_up"] > 0).all()
        assert (rows["bytes_down"] > 0).all()
    local = study.outcome("local", "trees").history
    assert local.groupby(["seed", "country"])["round"].min().eq(1).all()


@pytest.mark.parametrize("paradigm", ["federated", "local"])
def test_it_ends_without_a_better_model(paradigm: str) -> None:
    """``patience`` trees after the best one; of a country alone each on its own."""
    settings = told(trees=60, learning_rate=0.9, evaluate_every=1)
    history = Study(told=settings).outcome(paradigm, "trees").history
    after = [
        rows["round"].max() - rows.loc[rows["selected"], "round"].max()
        for _, rows in history.groupby(["seed", "country"])
    ]
    assert max(after) == 4
    # rows that cannot be split further end a country's own fit before
    assert paradigm == "local" or min(after) == 4
    assert history["round"].max() < 60


def test_of_models_that_are_as_good_the_one_with_fewer_trees_counts() -> None:
    settings = told(least_hessian=1e6, columns=0.4)  # no node can split, by one feature per tree
    history = Study(told=settings).outcome("federated", "trees").history
    losses = history.groupby(["seed", "country"])["validation_loss"]
    assert (losses.nunique() == 1).all()
    assert set(history.loc[history["selected"], "round"]) == {2}
    assert history["round"].max() > 2


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_the_validation_loss_is_that_of_the_predictions(study: Study, paradigm: str) -> None:
    """A country's private trees and its own are in what is scored."""
    outcome = study.outcome(paradigm, "trees")
    rows = outcome.predictions.query("split == 'validation'")
    p, y = rows["probability"], rows["label"]
    rows = rows.assign(loss=-np.log(np.where(y == 1, p, 1 - p)))
    expected = rows.groupby(["seed", "country"])["loss"].mean()
    if paradigm == "centralized":
        expected = rows.groupby("seed")["loss"].mean()
    chosen = outcome.history[outcome.history["selected"]].set_index(["seed", "country"])
    found = chosen["validation_loss"].sort_index()
    np.testing.assert_allclose(found, expected.sort_index(), rtol=1e-9)


def test_a_fit_that_was_cut_off_asks_for_no_tree_twice(tmp_path: Path) -> None:
    data = federation_data(*tables())

    def asked(report: Callable[[ProgressReport], None]) -> int:
        with RecordingGrid(data, [Node(country, 0) for country in data.countries]) as grid:
            task = Task(
                Training("federated", "trees"), Sites(tuple(data.countries), data.features),
                told(), "cpu", lambda *_: grid, report, (0,),
                lambda seed: Checkpoints(tmp_path, f"seed={seed}", 1),
            )  # fmt: skip
            with suppress(KeyboardInterrupt):
                fit_together(task, grid, 0)
            return sum("histogram" in content.get("sums", {}) for _, _, content in grid.traffic)

    def cut(report: ProgressReport) -> None:
        if report.round == 4:
            raise KeyboardInterrupt

    whole = asked(lambda _: None)
    for path in tmp_path.iterdir():
        path.unlink()
    assert asked(cut) + asked(lambda _: None) == whole


@pytest.mark.parametrize("paradigm", ["federated", "fine_tuned", "adaptive"])
def test_the_order_of_rows_and_countries_changes_nothing(study: Study, paradigm: str) -> None:
    episodes, splits = study.tables
    mixed = Study(
        told=study.told,
        tables=(episodes.sample(frac=1, random_state=3), splits.sample(frac=1, random_state=4)),
    )
    a, b = (s.outcome(paradigm, "trees") for s in (study, mixed))
    same_predictions(a, b)
    for name in a.models:
        np.testing.assert_array_equal(a.models[name], b.models[name])


def test_a_risk_that_may_only_rise_does_so(study: Study) -> None:
    outcome = Study(told=told(monotone={"edss": 1}, trees=20, columns=1.0)).outcome(
        "adaptive", "trees"
    )
    data = federation_data(*study.tables)
    place = data.features.index("edss")
    bundle = ModelBundle.of(
        outcome.models, Training("adaptive", "trees"),
        told(monotone={"edss": 1}, trees=20, columns=1.0), data,
    )  # fmt: skip
    country = next(iter(data.countries))
    x = np.repeat(data.rows(country).x[:1], 50, axis=0)
    x[:, place] = np.linspace(-5, 10, 50)
    risks = bundle.predict(0, country, x)
    assert (np.diff(risks) >= 0).all()
    assert risks[-1] > risks[0]
    with pytest.raises(InputError, match="there is no feature 'height'; there are: age, edss"):
        Study(told=told(monotone={"height": 1})).outcome("federated", "trees")


def test_a_country_without_validation_rows_alone_has_its_prevalence() -> None:
    x = np.arange(12, dtype=np.float32)[:, None]
    y = (np.arange(12) >= 9).astype(np.float32)
    codes = np.repeat(np.array([0, 2], np.int8), 6)[::-1]
    data = FederationData(("a",), (0,), {"A": CountryRows("A", x, y, {0: codes})}, {}, "")
    (result,) = train(
        Training("local", "trees"), Sites(("A",), ("a",)), told(), (0,), device="cpu",
        open_grid=lambda *_: LocalGrid(data, [Node("A", 0)]), store=UnfinishedTraining(None),
        report=lambda _: None,
    )  # fmt: skip
    assert len(list(result.history)) == 1, "there is nothing to choose by"
    expected = (3 + 0.5) / (6 + 1)  # of six rows to train on three have the outcome
    np.testing.assert_allclose(result.probabilities["A"]["test"], expected, rtol=1e-12)
