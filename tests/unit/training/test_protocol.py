"""Each published choice does what it says, and the sound one does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from federation_examples import (
    PROTOCOL,
    RecordingGrid,
    data_of,
    initial,
    nodes_of,
    prepared,
    settings,
    tables,
)
from kedro_project import PROJECT
from ms_pfl.cohort.parameters import SplitFractions
from ms_pfl.cohort.splits import split_episodes
from ms_pfl.errors import InputError
from ms_pfl.federation.client import Client, PreparedRows, method_of
from ms_pfl.federation.flower import to_record
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import (
    CheckpointParameters,
    ClientSettings,
    FedAvgParameters,
    ProtocolParameters,
    RoundsParameters,
)
from ms_pfl.federation.partitions import POOLED, federation_data, redrawn
from ms_pfl.federation.predictions import predict
from ms_pfl.federation.rounds import run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.networks import build_network, get_arrays
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.paradigms import Training
from ms_pfl.pipelines.evaluation.nodes import score_predictions
from ms_pfl.pipelines.studies.nodes import variant_trainer
from ms_pfl.reporting.table1 import notes
from ms_pfl.reporting.words import PUBLISHED, published_choices
from ms_pfl.studies.protocol_audit.train import SOUND, VARIANTS, protocol_of
from ms_pfl.training.bundle import stamp_of
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome
from paradigm_examples import STRATEGIES, Study, parameters

FRACTIONS = SplitFractions(train=0.6, validation=0.2, test=0.2)


def told(**choices: object) -> TrainingSettings:
    return parameters(protocol=PROTOCOL | choices)


def client_of(grid: LocalGrid, node_id: int) -> Client:
    """A client as it is while it answers."""
    context = grid._host._runs[grid._run_id].contexts[node_id]
    return Client(grid._host._load, PreparedRows(), context)


def with_protocol(paradigm: str = "federated", **choices: object) -> ClientSettings:
    protocol = ProtocolParameters.model_validate(PROTOCOL | choices)
    return settings(paradigm, batch_size=8).model_copy(update={"protocol": protocol})


# -- what is split ---------------------------------------------------------------------------------


def test_split_episodes_puts_a_patient_on_both_sides_and_each_episode_on_one() -> None:
    episodes, _ = tables({"AU": 60, "BE": 30})
    splits = split_episodes(episodes, [0, 1], FRACTIONS)
    assert len(splits) == 2 * len(episodes)
    owners = episodes.set_index("episode_id")["patient_id"]
    assert (splits["patient_id"] == owners.loc[splits["episode_id"]].to_numpy()).all()
    first = splits[splits["seed"] == 0]
    sizes = first.groupby("country")["split"].value_counts().unstack()
    assert sizes.loc["AU"].to_dict() == {"train": 36, "validation": 12, "test": 12}
    sides = first.groupby("patient_id")["split"].nunique()
    assert (sides > 1).mean() > 0.5
    data = federation_data(episodes, splits)
    test = data.ids["AU"].loc[data.rows("AU").splits[0] == 2]
    assert set(test["episode_id"]) == set(
        first.loc[(first["country"] == "AU") & (first["split"] == "test"), "episode_id"]
    )


def test_a_training_on_split_episodes_predicts_the_episodes_that_are_held_out() -> None:
    episodes, _ = tables({"AU": 60, "BE": 30})
    splits = split_episodes(episodes, [0], FRACTIONS)
    found = Study(tables=(episodes, splits)).outcome("federated", "fedavg").predictions
    wanted = splits[splits["split"] != "train"].set_index("episode_id")["split"]
    assert found.set_index("episode_id")["split"].sort_index().equals(wanted.sort_index())


# -- scaling ---------------------------------------------------------------------------------------


def test_each_country_by_its_own_mean_and_sd() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, with_protocol(scaling="country"))
        for node_id in grid.nodes:
            x = client_of(grid, node_id).rows.train.x.numpy()
            full = x[:, :2]  # the third has missing values, which become 0
            np.testing.assert_allclose(full.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(full.std(axis=0), 1, atol=1e-5)


def test_the_pooled_node_scales_each_row_by_its_country() -> None:
    data = data_of()
    scaled = {}
    for nodes in ([*nodes_of(data)], [nodes_of(data)[0].__class__(POOLED, 0)]):
        with LocalGrid(data, nodes) as grid:
            prepared(grid, with_protocol(scaling="country"))
            for node_id, node in grid.nodes.items():
                scaled[node.country] = client_of(grid, node_id).rows.train.x.numpy()
    apart = np.concatenate([scaled[country] for country in data.countries])
    np.testing.assert_array_equal(scaled[POOLED], apart)


def test_without_scaling_rows_stay_and_missing_values_become_the_mean() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        scaler = prepared(grid, with_protocol(scaling="none"))
        raw = data.rows("BE").client_data(0).train.x
        x = client_of(grid, 2).rows.train.x.numpy()
    missing = np.isnan(raw)
    np.testing.assert_array_equal(x[~missing], raw[~missing])
    assert missing.any()
    np.testing.assert_allclose(x[missing], scaler.mean[np.nonzero(missing)[1]], rtol=1e-6)


# -- selection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("selection", ["validation", "test"])
def test_test_rows_are_selected_by_only_where_the_protocol_says_so(selection: str) -> None:
    """The rows behind the history are the ones named; garbage in the others changes nothing."""
    episodes, splits = tables(seeds=(0,))
    split = episodes["patient_id"].map(splits.set_index("patient_id")["split"])
    other = "test" if selection == "validation" else "validation"
    poisoned = episodes.copy()
    poisoned.loc[split == other, "age"] = 1e6
    poisoned.loc[split == other, "label"] = 1 - poisoned.loc[split == other, "label"]
    settings_ = told(selection=selection)
    for key in (("federated", "fedavg"), ("local", "none"), ("centralized", "pooled")):
        clean = Study(told=settings_, tables=(episodes, splits)).outcome(*key)
        dirty = Study(told=settings_, tables=(poisoned, splits)).outcome(*key)
        columns = ["round", "country", "validation_loss", "n_validation", "selected"]
        pd.testing.assert_frame_equal(clean.history[columns], dirty.history[columns])
        if key[0] != "centralized":
            sizes = episodes[split == selection].groupby("country").size()
            rows = clean.history.drop_duplicates("country").set_index("country")
            assert (rows["n_validation"] == sizes).all()


def test_the_published_selection_takes_the_round_with_the_highest_roc_auc() -> None:
    many = {"rounds": 8, "patience": None, "client_fraction": 1.0}
    settings_ = parameters(protocol=PROTOCOL | {"selection": "test"}, federation=many)
    history = Study(told=settings_).outcome("federated", "fedavg").history
    for _, rows in history.groupby("seed"):
        known = rows.dropna(subset=["validation_roc_auc"])
        means = known.groupby("round").apply(
            lambda t: np.average(t["validation_roc_auc"], weights=t["n_validation"]),
            include_groups=False,
        )
        assert rows.loc[rows["selected"], "round"].unique().tolist() == [means.idxmax()]


# -- personal arrays -------------------------------------------------------------------------------


def test_reset_arrays_are_drawn_anew_at_every_message_and_never_trained_ones() -> None:
    data, told_ = data_of(), with_protocol("adaptive", personal_arrays="reset")
    with RecordingGrid(data, nodes_of(data)) as grid:
        prepared(grid, told_)
        done = run_rounds(
            grid, make_strategy(FedAvgParameters(epochs=1)), method_of(told_), initial(told_),
            seed=0, epochs=1,
            parameters=RoundsParameters(rounds=2, patience=None, client_fraction=1.0),
            report=lambda *_: None,
        )  # fmt: skip
        client = client_of(grid, 2)
        drawn = {
            (purpose, number): client.private(purpose, number)["extension.0.weight"]
            for purpose in ("train", "evaluate", "predict")
            for number in (0, 1, 2)
        }
        predict(grid, 0, to_record(done.arrays), done.best_round, "adaptive.fedavg")
        selected = grid.export_state("selected")[grid.nodes[2]]["extension.0.weight"]
    assert len({array.tobytes() for array in drawn.values()}) == 9
    np.testing.assert_array_equal(selected, drawn["predict", done.best_round])
    seed = derive_seed(0, "BE", "reset", "evaluate", 1)
    fresh = get_arrays(build_network("adaptive", 3, told_.network, 36, seed))
    np.testing.assert_array_equal(drawn["evaluate", 1], fresh["extension.0.weight"])


# -- FedProx and fine-tuning -----------------------------------------------------------------------


def test_without_its_term_fedprox_is_fedavg() -> None:
    strategies = STRATEGIES | {"fedavg": {"epochs": 2}}
    study = Study(
        told=parameters(strategies=strategies, protocol=PROTOCOL | {"proximal_term": False})
    )
    a, b = (study.outcome("federated", name).predictions for name in ("fedavg", "fedprox"))
    pd.testing.assert_series_equal(a["probability"], b["probability"], check_exact=True)
    sound = Study(told=parameters(strategies=strategies)).outcome("federated", "fedprox")
    assert not sound.predictions["probability"].equals(b["probability"])


def test_redrawn_rows_are_in_part_those_of_the_federated_training() -> None:
    splits = tables({"AU": 90, "BE": 60})[1]
    other = redrawn(splits)
    keys = ["country", "patient_id", "seed"]
    both = splits.merge(other, on=keys, suffixes=("", "_redrawn"))
    assert len(both) == len(splits)
    assert (
        splits.groupby(["seed", "country"])["split"].value_counts().sort_index()
        .equals(other.groupby(["seed", "country"])["split"].value_counts().sort_index())
    )  # fmt: skip
    leaked = (both["split_redrawn"] == "test") & (both["split"] == "train")
    assert leaked.sum() > 0
    pd.testing.assert_frame_equal(
        redrawn(splits.sample(frac=1, random_state=0)).sort_values(keys, ignore_index=True),
        other.sort_values(keys, ignore_index=True),
    )


def test_fine_tuning_on_redrawn_rows_starts_from_the_federated_model_of_the_others() -> None:
    study = Study(told=told(fine_tuning_rows="redrawn"), tables=tables({"AU": 90}, seeds=(0,)))
    found = study.outcome("fine_tuned", "fedavg").predictions
    wanted = redrawn(study.tables[1]).set_index("patient_id")["split"]
    assert (found["split"] == wanted.loc[found["patient_id"]].to_numpy()).all()
    federated = study.outcome("federated", "fedavg").predictions
    assert set(found["episode_id"]) != set(federated["episode_id"])


# -- the audit -------------------------------------------------------------------------------------


def test_a_variant_flips_one_choice_and_the_last_all() -> None:
    assert ("sound", *PUBLISHED, "together") == VARIANTS
    assert SOUND.keys() == ProtocolParameters.model_fields.keys() == PUBLISHED.keys()
    assert protocol_of("sound").model_dump() == SOUND == PROTOCOL
    for name in PUBLISHED:
        flipped = protocol_of(name).model_dump()
        assert {key for key in SOUND if flipped[key] != SOUND[key]} == {name}
        assert published_choices(flipped) == [PUBLISHED[name][1]]
    assert len(published_choices(protocol_of("together").model_dump())) == 6


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_choice_is_in_the_stamp(name: str) -> None:
    data = federation_data(*tables())
    stamps = [
        stamp_of(Training("federated", "fedavg"), data, told_).tobytes()
        for told_ in (told(), told(), told(**{name: PUBLISHED[name][0]}))
    ]
    assert stamps[0] == stamps[1] != stamps[2]


def test_as_published_sets_the_six_choices_and_nothing_else() -> None:
    text = (PROJECT / "conf/as_published/parameters.yml").read_text()
    assert yaml.safe_load(text) == {
        "training": {
            "inputs": {"kind": "standard"},
            "protocol": {name: value for name, (value, _) in PUBLISHED.items()},
        }
    }


def test_the_audit_trains_each_variant_with_its_own_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is trained, variant by variant, and the name that the predictions carry."""
    asked: list[tuple[Training, ProtocolParameters]] = []

    def note(training: Training, *rest: object) -> Outcome:
        asked.append((training, rest[2].protocol))  # type: ignore[attr-defined]
        return Outcome(pd.DataFrame({"label": [1]}), pd.DataFrame(), {})

    monkeypatch.setattr("ms_pfl.studies.protocol_audit.train.train_tables", note)
    trained = {}
    for variant in VARIANTS:
        asked.clear()
        table = variant_trainer(variant)(
            episodes=tables()[0], unfinished=None, seeds=[0], fractions=FRACTIONS, device="cpu",
            ray=None, checkpoints=CheckpointParameters(every_rounds=5), settings=parameters(),
        )  # fmt: skip
        assert {protocol for _, protocol in asked} == {protocol_of(variant)}
        assert set(table["variant"]) == {variant}
        trained[variant] = [training.name for training, _ in asked], len(table)
    models = ["federated.fedavg", "federated.fedprox", "fine_tuned.fedavg", "adaptive.fedavg"]
    assert trained == dict.fromkeys(VARIANTS, (models, 4)) | {
        "personal_arrays": (["adaptive.fedavg"], 1),
        "proximal_term": (["federated.fedprox"], 1),
        "fine_tuning_rows": (["federated.fedavg", "fine_tuned.fedavg"], 1),
    }


def test_the_same_rows_are_insisted_on_with_the_sound_protocol_alone() -> None:
    rows = pd.DataFrame({"paradigm": "local", "strategy": "none", "seed": 0, "country": "AU",
                         "patient_id": "p", "episode_id": ["a", "b", "c"], "probability": 0.5,
                         "split": ["test", "test", "validation"], "label": [0, 1, 1]})  # fmt: skip
    none = rows.iloc[:0]
    with pytest.raises(InputError, match="split by patient"):
        score_predictions(rows, none, none, none, protocol_of("sound"))
    metrics, _, _ = score_predictions(rows, none, none, none, protocol_of("split_unit"))
    assert len(metrics) > 0


def test_the_page_says_that_the_published_protocol_is_in_force() -> None:
    counts = pd.DataFrame({"seed": [0], "n_episodes": 9, "n_positive": 3, "n_patients": 4,
                           "n_countries": 2, "n_single_class": 0})  # fmt: skip
    splits = pd.DataFrame({"country": ["AU"], "train_episodes": 9, "train_positive": 3,
                           "validation_patients": 2, "test_patients": 2})  # fmt: skip
    source = {"kind": "own", "description": "a table"}
    sound = notes(counts, source, splits, SOUND)
    published = notes(counts, source, splits, protocol_of("together").model_dump())
    assert not any("PUBLISHED" in line for line in sound)
    assert published[0].startswith("PUBLISHED PROTOCOL, not a sound comparison: episodes split")
    assert any("the same rows for every model" in line for line in sound)
    assert not any("the same rows for every model" in line for line in published)
