"""Every setting of a training: which paradigms it changes, and which it leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import pytest
from ms_pfl.training.parameters import ParadigmParameters
from pydantic import BaseModel

from federation_examples import STRATEGIES, tables
from ms_pfl.errors import InputError
from paradigm_examples import HISTORY, Study, parameters, same_models

TRAINED = (
    ("centralized", "pooled"),
    ("local", "none"),
    ("federated", "fedavg"),
    ("fine_tuned", "fedavg"),
    ("adaptive", "fedavg"),
)
CENTRALIZED, LOCAL, FEDERATED, FINE_TUNED, ADAPTIVE = ({key} for key in TRAINED)
FEDPROX = {("federated", "fedprox")}
# each setting: another value, and the trainings that it changes
SETTINGS: dict[str, tuple[object, Iterable[tuple[str, str]]]] = {
    "model.hidden_layers": (2, TRAINED),
    "model.width": (5, TRAINED),
    "model.dropout": (0.3, TRAINED),
    "model.extension_width": (3, ADAPTIVE),
    "model.extension_tiers": ([{"min_rows": 0, "layers": 1}], ADAPTIVE),
    "model.combining_activation": (True, ADAPTIVE),
    "model.combining_personal": (True, ADAPTIVE),
    "training.optimizer": ("sgd", TRAINED),
    "training.learning_rate": (0.4, TRAINED),
    "training.weight_decay": (0.5, TRAINED),
    "training.batch_size": (5, TRAINED[1:]),
    "training.plateau": (None, TRAINED),
    "training.plateau.factor": (0.5, TRAINED),
    "training.plateau.patience": (1, TRAINED),
    "training.plateau.min_learning_rate": (0.3, TRAINED),
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
    "federated.rounds": (2, FEDERATED | ADAPTIVE),
    "federated.patience": (1, FEDERATED | ADAPTIVE),
    "federated.client_fraction": (0.5, FEDERATED | ADAPTIVE),
    "fine_tuned.epochs": (3, FINE_TUNED),
    "fine_tuned.patience": (1, FINE_TUNED),
    "fine_tuned.learning_rate_factor": (0.3, FINE_TUNED),
    "fine_tuned.epochs_without_validation": (3, FINE_TUNED),
}


@pytest.fixture(scope="module")
def sensitive() -> Study:
    """A study in which every setting matters: a schedule, and a country without validation."""
    episodes, splits = tables({"AU": 30, "CZ": 15}, seeds=(0,))
    alone = (splits["country"] == "CZ") & (splits["split"] == "validation")
    splits.loc[alone, "split"] = "test"
    training = {
        "optimizer": "adam",
        "learning_rate": 0.5,
        "weight_decay": 0.0,
        "batch_size": 8,
        "plateau": {"factor": 0.2, "patience": 0, "min_learning_rate": 0.0},
    }
    told = parameters(
        training=training,
        strategies=STRATEGIES
        | {"fedavg": {"epochs": 3}, "fedprox": {"epochs": 3, "proximal_mu": 0.5}},
        centralized={"epochs": 8, "patience": 8, "batch_size": 16},
        local={"epochs": 8, "patience": 8, "epochs_without_validation": 2},
        federated={"rounds": 6, "patience": 6, "client_fraction": 1.0},
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
    """All but the device, which changes no number but the last bits, and wants a GPU.

    And but for the unit of the split, which has been made before a training begins.
    """
    assert leaves(sensitive.told) - {"device", "protocol.split_unit"} == SETTINGS.keys()


def changed_by(
    study: Study, settings: Iterable[str], trainings: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Which trainings give another outcome when these settings have their other values.

    Fine-tuning starts from the same federated model, so that its own settings show.
    """
    values = study.told.model_dump()
    for setting in settings:
        *path, last = setting.split(".")
        inner = values
        for name in path:
            inner = inner[name]
        assert inner[last] != SETTINGS[setting][0]
        inner[last] = SETTINGS[setting][0]
    told = ParadigmParameters.model_validate(values)
    columns = [name for name in HISTORY if name != "seconds"]
    found = set()
    for key in trainings:
        before = study.outcome(*key)
        again = Study(told=told, tables=study.tables)
        if key[0] == "fine_tuned":
            again.give("federated", key[1], study.outcome("federated", key[1]))
        try:
            after = again.outcome(*key)
        except InputError:  # another network: the federated model does not fit
            assert key in FINE_TUNED
            assert {"model.hidden_layers", "model.width"} & set(settings)
            found.add(key)
            continue
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
