"""Every setting of a training: which paradigms it changes, and which it leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import get_args

import click
import pytest
from pydantic import BaseModel, ValidationError

from federation_examples import INPUTS, PROTOCOL, STRATEGIES, data_of, tables
from ms_pfl.hooks.parameters import ParameterCheck
from ms_pfl.learning.parameters import InputParameters
from ms_pfl.paradigms import trainings as all_trainings
from ms_pfl.training.bundle import stamp_of
from ms_pfl.training.settings import TrainingSettings
from paradigm_examples import HISTORY, Study, parameters, same_models
from parameter_examples import complaint, load

TRAINED = (
    ("centralized", "pooled"),
    ("local", "none"),
    ("federated", "fedavg"),
    ("fine_tuned", "fedavg"),
    ("adaptive", "fedavg"),
)
CENTRALIZED, LOCAL, FEDERATED, FINE_TUNED, ADAPTIVE = ({key} for key in TRAINED)
FEDPROX, LOGISTIC = {("federated", "fedprox")}, {("federated", "logistic")}
# each setting: another value, and the trainings that it changes
SETTINGS: dict[str, tuple[object, Iterable[tuple[str, str]]]] = {
    "network.hidden_layers": (2, TRAINED),
    "network.width": (5, TRAINED),
    "network.dropout": (0.3, TRAINED),
    "network.extension_width": (3, ADAPTIVE),
    "network.extension_tiers": ([{"min_rows": 0, "layers": 1}], ADAPTIVE),
    "network.combining_activation": (True, ADAPTIVE),
    "network.combining_personal": (True, ADAPTIVE),
    "optimizer.kind": ("sgd", TRAINED),
    "optimizer.learning_rate": (0.4, TRAINED),
    "optimizer.weight_decay": (0.5, TRAINED),
    "optimizer.batch_size": (5, TRAINED[1:]),
    "optimizer.plateau": (None, TRAINED),
    "optimizer.plateau.factor": (0.5, TRAINED),
    "optimizer.plateau.patience": (1, TRAINED),
    "optimizer.plateau.min_learning_rate": (0.3, TRAINED),
    "protocol.scaling": ("country", TRAINED),
    "protocol.selection": ("test", TRAINED),
    "protocol.personal_arrays": ("reset", ADAPTIVE),
    "protocol.proximal_term": (False, FEDPROX),
    "protocol.fine_tuning_rows": ("redrawn", FINE_TUNED),
    "strategies.fedavg.epochs": (2, FEDERATED | ADAPTIVE),
    "strategies.fedprox.epochs": (2, FEDPROX),
    "strategies.fedprox.proximal_mu": (5.0, FEDPROX),
    **{
        f"strategies.{name}.{setting}": (value, {("federated", name)})
        for name in ("fedadam", "fedyogi", "fedadagrad")
        for setting, value in (
            ("epochs", 3),
            ("eta", 0.4),
            ("tau", 0.5),
            ("beta_1", 0.1),
            ("beta_2", 0.2),
        )
        if not (name == "fedadagrad" and setting.startswith("beta"))
    },
    "centralized.epochs": (3, CENTRALIZED),
    "centralized.patience": (1, CENTRALIZED),
    "centralized.batch_size": (5, CENTRALIZED),
    "local.epochs": (3, LOCAL),
    "local.patience": (1, LOCAL),
    "local.epochs_without_validation": (3, LOCAL),
    "federation.rounds": (2, FEDERATED | ADAPTIVE),
    "federation.patience": (1, FEDERATED | ADAPTIVE),
    "federation.client_fraction": (0.5, FEDERATED | ADAPTIVE),
    "fine_tuned.epochs": (3, FINE_TUNED),
    "fine_tuned.patience": (1, FINE_TUNED),
    "fine_tuned.learning_rate_factor": (0.3, FINE_TUNED),
    "fine_tuned.epochs_without_validation": (3, FINE_TUNED),
    "strategies.logistic.ridge": (9.0, LOGISTIC),
    "strategies.logistic.steps": (1, LOGISTIC),
    "strategies.logistic.tolerance": (0.9, LOGISTIC),
    "strategies.logistic.local_ridges": ((9.0,), {("local", "logistic")}),
    "strategies.logistic.strengths": ((2.0,), {("fine_tuned", "logistic")}),
    "strategies.logistic.private_slopes": (("edss",), {("adaptive", "logistic")}),
    "strategies.logistic.private_shapes": (("relapses",), {("adaptive", "logistic")}),
    **{
        f"strategies.trees.{setting}": (value, {("federated", "trees")})
        for setting, value in {
            "trees": 3,
            "depth": 1,
            "learning_rate": 0.9,
            "bins": 3,
            "l2": 50.0,
            "least_hessian": 3.0,
            "least_gain": 5.0,
            "columns": 1.0,
            "patience": 1,
            "evaluate_every": 1,
            "positive_weight": 4.0,
            "monotone": {"edss": -1},
        }.items()
    },
    **{
        f"strategies.trees.{setting}": (value, {("adaptive", "trees")})
        for setting, value in {
            "private_every": 1,
            "personal_depth": 1,
            "personal_learning_rate": 0.9,
            "personal_l2": 50.0,
            "personal_least_hessian": 3.0,
        }.items()
    },
    "strategies.trees.own_trees": (1, {("fine_tuned", "trees")}),
    "proximal_copy.pull": (9.0, {("proximal_copy", "fedavg")}),
    "scaffold.learning_rate": (0.2, {("scaffold", "fedavg")}),
}


@pytest.fixture(scope="module")
def sensitive() -> Study:
    """A study in which every setting matters: a schedule, and a country without validation."""
    episodes, splits = tables({"AU": 30, "CZ": 15}, seeds=(0,))
    alone = (splits["country"] == "CZ") & (splits["split"] == "validation")
    splits.loc[alone, "split"] = "test"
    optimizer = {
        "kind": "adam",
        "learning_rate": 0.5,
        "weight_decay": 0.0,
        "batch_size": 8,
        "plateau": {"factor": 0.2, "patience": 0, "min_learning_rate": 0.0},
    }
    told = parameters(
        optimizer=optimizer,
        strategies=STRATEGIES
        | {"fedavg": {"epochs": 3}, "fedprox": {"epochs": 3, "proximal_mu": 0.5}},
        centralized={"epochs": 8, "patience": 8, "batch_size": 16},
        local={"epochs": 8, "patience": 8, "epochs_without_validation": 2},
        federation={"rounds": 6, "patience": 6, "client_fraction": 1.0},
        fine_tuned={"epochs": 8, "patience": 8, "learning_rate_factor": 1.0,
                    "epochs_without_validation": 2},
    )  # fmt: skip
    return Study(told=told, tables=(episodes, splits))


def leaves(told: BaseModel, prefix: str = "") -> set[str]:
    """The names of all settings; one that may be null counts beside those inside of it."""
    found: set[str] = set()
    for name in type(told).model_fields:
        value = getattr(told, name)
        inside = isinstance(value, BaseModel)
        nullable = type(None) in get_args(type(told).model_fields[name].annotation)
        found |= leaves(value, f"{prefix}{name}.") if inside else set()
        found |= {prefix + name} if not inside or nullable else set()
    return found


def test_every_setting_is_in_the_list(sensitive: Study) -> None:
    """All but the unit of the split, which has been made before a training begins.

    And but for the settings of single trainings, which are those of this list, for the norm above
    which an update ends a run, and for those of the inputs, which are tested below.
    """
    without = {"only", "protocol.split_unit", "federation.largest_update", "federation.secure_sums"}
    without |= {f"inputs.{name}" for name in InputParameters.model_fields}
    assert leaves(sensitive.told) - without == SETTINGS.keys()


def test_the_update_that_ends_a_run_does_not_decide_its_result() -> None:
    """Models that were trained with another bound are those of the same training."""
    told, other = (
        parameters(),
        parameters(
            federation={"rounds": 4, "patience": 2, "client_fraction": 1.0, "largest_update": 3.0}
        ),
    )
    assert told.federation.largest_update == 10.0
    assert other.sections_of("federated", "fedavg") == told.sections_of("federated", "fedavg")


# each setting of the inputs, with another value than below
OF_INPUTS: dict[str, object] = {
    "kind": "standard",
    "one_hot": ("edss",),
    "numbers": "standardized",
    "indicators": False,
    "level_columns": 20,
    "level_scale": 0.5,
    "knots": 2,
    "knot_scale": 0.5,
    "bins": 3,
}
# of what there is none otherwise
BESIDE: dict[str, dict[str, object]] = {
    "level_scale": {"level_columns": 20},
    "knot_scale": {"knots": 2},
}


def encoded(**changes: object) -> dict[str, object]:
    return INPUTS | {"kind": "encoded", "one_hot": ()} | changes


@pytest.mark.parametrize("name", InputParameters.model_fields)
def test_each_setting_of_the_inputs_changes_what_is_trained(name: str) -> None:
    episodes, splits = tables({"AU": 150, "BE": 90}, seeds=(0,))
    episodes["edss"] = (2 * episodes["edss"]).round() / 2
    episodes["relapses"] = episodes["relapses"].round()
    found = []
    for changes in ({}, {name: OF_INPUTS[name]}):
        told = parameters(inputs=encoded(**BESIDE.get(name, {}) | changes))
        study = Study(told=told, tables=(episodes, splits))
        found.append(study.outcome("centralized", "pooled"))
    assert not found[1].predictions.equals(found[0].predictions)
    assert found[1].models["stamp"].tolist() != found[0].models["stamp"].tolist()


def test_scaling_is_a_choice_of_standard_inputs() -> None:
    with pytest.raises(ValidationError, match=r"training.protocol.scaling' is of standard inputs"):
        parameters(inputs=encoded(), protocol=PROTOCOL | {"scaling": "country"})


def changed_by(
    study: Study, settings: Iterable[str], trainings: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Which trainings give another outcome when these settings have their other values.

    Fine-tuning starts from the same federated model, where it fits, so that its own settings show.
    """
    values = study.told.model_dump()
    for setting in settings:
        *path, last = setting.split(".")
        inner = values
        for name in path:
            inner = inner[name]
        assert inner[last] != SETTINGS[setting][0]
        inner[last] = SETTINGS[setting][0]
    told = TrainingSettings.model_validate(values)
    columns = [name for name in HISTORY if name != "seconds"]
    found = set()
    for key in trainings:
        before = study.outcome(*key)
        again = Study(told=told, tables=study.tables)
        other_network = {"network.hidden_layers", "network.width"} & set(settings)
        if key[0] == "fine_tuned" and not other_network:
            again.give("federated", key[1], study.outcome("federated", key[1]))
        after = again.outcome(*key)
        same_history = before.history[columns].equals(after.history[columns])
        if not (same_history and same_models(before, after)):
            found.add(key)
    return found


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_changes_its_trainings(sensitive: Study, setting: str) -> None:
    trainings = set(SETTINGS[setting][1])
    assert changed_by(sensitive, [setting], trainings) == trainings


def test_no_setting_changes_other_trainings(sensitive: Study) -> None:
    """All settings that belong to the same trainings are changed at once."""
    groups: dict[frozenset[tuple[str, str]], list[str]] = {}
    for setting, (_, trainings) in SETTINGS.items():
        groups.setdefault(frozenset(trainings), []).append(setting)
    for trainings, settings in groups.items():
        others = [key for key in TRAINED if key not in trainings]
        assert not others or changed_by(sensitive, settings, others) == set(), settings


# -- settings of single trainings ------------------------------------------------------------------


def stamps_of(told: TrainingSettings) -> dict[str, bytes]:
    """By training the digest of its data and settings."""
    data = data_of()
    return {one.name: stamp_of(one, data, told).tobytes() for one in all_trainings()}


FAST = {"optimizer": {"learning_rate": 0.5}}


@pytest.mark.parametrize(
    ("own", "changed"),
    [
        ({"adaptive.fedavg": {"federation": {"rounds": 9}}}, {"adaptive.fedavg"}),
        ({"local.none": {"local": {"epochs": 9}}}, {"local.none"}),
        ({"federated.fedprox": FAST}, {"federated.fedprox", "fine_tuned.fedprox"}),
        ({"fine_tuned.fedprox": FAST}, {"fine_tuned.fedprox"}),
        ({"scaffold.fedavg": {"scaffold": {"learning_rate": 0.5}}}, {"scaffold.fedavg"}),
        (
            {"federated.logistic": {"strategies": {"logistic": {"ridge": 3.0}}}},
            {"federated.logistic", "fine_tuned.logistic"},
        ),
        ({"local.none": {"scaffold": {"learning_rate": 0.5}}}, set()),
        ({"adaptive.fedavg": {}}, set()),
    ],
)
def test_settings_of_one_training_change_its_digest_and_that_of_what_starts_from_it(
    own: dict[str, object], changed: set[str]
) -> None:
    before, after = stamps_of(parameters()), stamps_of(parameters(only=own))
    assert {name for name in before if before[name] != after[name]} == changed


def test_settings_of_one_training_are_the_same_as_set_for_all(sensitive: Study) -> None:
    """They change the training that is named as if they were everyone's, and no other one."""
    own = {"local": {"epochs": 3}}
    key = ("local", "none")
    named = Study(told=parameters(only={"local.none": own}), tables=sensitive.tables)
    told = parameters().local.model_dump() | own["local"]
    everyones = Study(told=parameters(local=told), tables=sensitive.tables)
    plain = Study(told=parameters(), tables=sensitive.tables)
    assert same_models(named.outcome(*key), everyones.outcome(*key))
    assert not same_models(named.outcome(*key), plain.outcome(*key))
    other = ("federated", "fedavg")
    assert same_models(named.outcome(*other), plain.outcome(*other))
    assert named.told.of("local", "none").local.epochs == 3
    assert named.told.of("adaptive", "fedavg").local.epochs == 8


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"adaptive.fedsgd": FAST},
            "Parameter 'training.only': there is no training 'adaptive.fedsgd'; there are: "
            "centralized.pooled, centralized.logistic, centralized.trees, local.none, ",
        ),
        ({"recalibrated.fedavg": FAST}, "there is no training 'recalibrated.fedavg'"),
        (
            {"local.none": {"optimizer": {"learning_rate": -1}}},
            "Parameter 'training.only.local.none.optimizer.learning_rate': Input should be "
            "greater than 0",
        ),
        (
            {"local.none": {"optimiser": {}}},
            "Parameter 'training.only.local.none.optimiser': Extra inputs are not permitted",
        ),
        (
            {"local.none": {"protocol": {"scaling": "none"}}},
            "Parameter 'training.only.local.none.protocol': all trainings that are compared have "
            "one; set training.protocol",
        ),
        (
            {"local.none": {"inputs": {"kind": "encoded"}}},
            "Parameter 'training.only.local.none.inputs': all trainings that are compared have "
            "one; set training.inputs",
        ),
        (
            {"local.none": {"only": {}}},
            "Parameter 'training.only.local.none': 'only' cannot stand in itself",
        ),
    ],
)
def test_settings_of_no_training_and_impossible_ones_are_refused(
    own: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        parameters(only=own)
    assert said in str(refused.value)
    assert said in complaint({"training": {"only": own}})


# -- where settings of earlier versions are --------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "was", "place"),
    [
        ({"model": {"width": 8}}, "model", "training.network"),
        ({"federated": {"rounds": 5}}, "federated", "training.federation"),
        ({"protocol": {"scaling": "none"}}, "protocol", "training.protocol"),
        ({"strategies": {}}, "strategies", "training.strategies"),
        ({"centralized": {}}, "centralized", "training.centralized"),
        ({"local": {}}, "local", "training.local"),
        ({"fine_tuned": {}}, "fine_tuned", "training.fine_tuned"),
        *(
            ({"training": {name: 1}}, f"training.{name}", f"training.optimizer.{name}")
            for name in ("learning_rate", "weight_decay", "batch_size", "plateau")
        ),
    ],
)
def test_a_setting_of_an_earlier_version_is_answered_with_its_place(
    given: dict[str, object], was: str, place: str
) -> None:
    assert complaint(given).startswith(f"Parameter '{was}' is now '{place}'; set it there")


@pytest.mark.parametrize("section", [*TrainingSettings.model_fields])
def test_a_section_that_is_missing_is_refused(section: str) -> None:
    """Before anything runs: the hook compares all parameters as soon as they are read."""
    told = parameters().model_dump()
    del told[section]
    if section == "only":
        assert TrainingSettings.model_validate(told).only == {}
    else:
        with pytest.raises(ValidationError, match=f"{section}\n  Field required"):
            TrainingSettings.model_validate(told)
        assert f"'training.{section}' is missing" in missing(section)


def missing(section: str) -> str:
    """What is said where a section is left out of the parameters."""
    given = load("base")
    del given["training"][section]
    with pytest.raises(click.ClickException) as caught:
        ParameterCheck().after_context_created(SimpleNamespace(config_loader={"parameters": given}))
    assert "\n" not in caught.value.message
    return caught.value.message
