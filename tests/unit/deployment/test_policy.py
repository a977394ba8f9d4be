"""The site's policy: strict by default, written by one command, and what is beyond it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.agreement import RunAgreement
from ms_pfl.deployment.policy import SitePolicy, number_of_weights, read_policy, write_policy
from ms_pfl.deployment.settings import read_parameters
from ms_pfl.errors import InputError
from ms_pfl.learning.networks import build_network, get_arrays
from ms_pfl.learning.parameters import NetworkParameters
from ms_pfl.paradigms import Training, trainings
from site_examples import COUNTRIES, PROJECT

BASE = read_parameters(str(PROJECT), "")


def agreed(training: str = "adaptive.fedavg", **change: Any) -> RunAgreement:
    paradigm, strategy = training.split(".")
    agreement = RunAgreement.of(Training(paradigm, strategy), BASE, COUNTRIES)
    return agreement.model_copy(update=change)


def changed(agreement: RunAgreement, **change: Any) -> RunAgreement:
    """The agreement with another value in the settings or the stage of all its stages."""
    stages = []
    for stage in agreement.stages:
        told = stage.model_dump()
        for name, value in change.items():
            *path, last = name.split("__")
            section = told
            for key in path:
                section = section[key]
            section[last] = value
        stages.append(type(stage).model_validate(told))
    return agreement.model_copy(update={"stages": tuple(stages)})


@pytest.mark.parametrize("env", ["", "smoke", "deploy_demo"])
def test_every_training_of_the_project_is_within_the_strict_policy(env: str) -> None:
    parameters = read_parameters(str(PROJECT), env)
    for training in trainings():
        if training.paradigm != "centralized":
            agreement = RunAgreement.of(training, parameters, COUNTRIES)
            assert SitePolicy().objections(agreement, len(FEATURES)) == [], training.name


def test_the_published_run_needs_nothing_but_more_seeds() -> None:
    parameters = read_parameters(str(PROJECT), "paper")
    agreement = RunAgreement.of(Training("adaptive", "fedavg"), parameters, COUNTRIES)
    found = SitePolicy().objections(agreement, len(FEATURES))
    assert found == ["seeds: 10 asked for, at most 5 by the policy"]
    assert SitePolicy(seeds=10).objections(agreement, len(FEATURES)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings__network__width": 10**5}, "width: 100000 asked for, at most 1024"),
        ({"settings__network__width": 1025}, "width: 1025 asked for"),
        ({"settings__network__extension_width": 1500}, "width: 1500 asked for"),
        ({"settings__network__hidden_layers": 11}, "layers: 11 asked for"),
        ({"settings__network__hidden_layers": 1000}, "layers: 1000 asked for"),
        (
            {"settings__network__extension_tiers": ({"min_rows": 0, "layers": 999},)},
                "layers: 999 asked for",
        ),
        ({"settings__network__width": 1000, "settings__network__hidden_layers": 6},
         "parameters: 6.34616e+06 asked"),
        ({"settings__optimizer__batch_size": 31}, "batch: 31 asked for, at least 32"),
        ({"settings__optimizer__batch_size": 1}, "batch: 1 asked for"),
        ({"settings__optimizer__learning_rate": 1.0}, "learning_rate: 1 asked for, at most 0.1"),
        ({"epochs": 151}, "epochs: 151 asked for"),
        ({"rounds": 401}, "rounds: 401 asked for"),
    ],
)  # fmt: skip
def test_what_is_beyond_a_bound_is_named(change: dict[str, Any], told: str) -> None:
    found = SitePolicy().objections(changed(agreed(), **change), len(FEATURES))
    assert any(told in text for text in found), found


def test_bounds_of_single_trainings() -> None:
    policy, n = SitePolicy(), len(FEATURES)
    found = policy.objections(
        changed(agreed("scaffold.fedavg"), settings__method__learning_rate=1.0), n
    )
    assert found == ["scaffold.fedavg: learning_rate: 1 asked for, at most 0.1 by the policy"]
    newton = changed(agreed("federated.logistic"), settings__logistic__steps=401)
    assert "rounds: 401" in policy.objections(newton, n)[0]
    assert (
        "sites: 2 asked for, at least 3"
        in policy.objections(agreed(sites=("Australia", "Turkey")), n)[0]
    )
    own = SitePolicy(runs=("federated.fedavg",))
    assert own.objections(agreed("federated.fedavg"), n) == []
    assert own.objections(agreed("fine_tuned.fedavg"), n) == [
        "runs: fine_tuned.fedavg is not among those of the policy"
    ]
    assert "seeds: 450" in policy.objections(agreed(seeds=tuple(range(450))), n)[0]


@given(
    st.integers(0, 4), st.integers(1, 40), st.integers(1, 20), st.integers(1, 4),
    st.sampled_from(["mlp", "adaptive"]),
)  # fmt: skip
@settings(max_examples=examples(20), deadline=None)
def test_the_number_of_weights_is_that_of_the_network(
    layers: int, width: int, own: int, depth: int, kind: Any
) -> None:
    network = NetworkParameters.model_validate(
        BASE.training.network.model_dump()
        | {
            "hidden_layers": layers, "width": width, "extension_width": own,
            "extension_tiers": ({"min_rows": 0, "layers": depth},),
        }
    )  # fmt: skip
    arrays = get_arrays(build_network(kind, 7, network, 100, 0))
    assert number_of_weights(kind, 7, network) == sum(array.size for array in arrays.values())


def test_the_file_is_short_private_and_means_what_it_says(tmp_path: Path) -> None:
    policy = SitePolicy(floor=12, runs=("adaptive.fedavg", "local.none"), small_cells="allow")
    path = write_policy(tmp_path, policy)
    assert read_policy(tmp_path) == policy
    lines = path.read_text().splitlines()
    assert len(lines) <= 25
    assert all("#" in line for line in lines)
    assert path.stat().st_mode & 0o077 == 0


BOMB = "runs: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 9)}]\n"
    for before, after in itertools.pairwise("abcdefghij")
)
"""Small to read, and of 9^9 names when it is shown."""


def test_an_empty_policy_is_the_strict_one(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").write_text("{}\n")
    assert read_policy(tmp_path) == SitePolicy()
    assert (SitePolicy().floor, SitePolicy().small_cells, SitePolicy().sites) == (10, "refuse", 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "is missing: write it by"),
        ("", "has to hold names with their values"),
        ("- 1\n", "has to hold names with their values"),
        ("floor: [\n", "is no YAML"),
        ("floor: 10\nflor: 3\n", "flor is unknown; did you mean 'floor'"),
        ("floor: 1\n", "floor: 1: Input should be greater than or equal to 2"),
        ("floor: yes\n", "floor: True: Input should be a valid integer"),
        ("floor: 10.0\n", "floor: 10.0: Input should be a valid integer"),
        ("floor: '10'\n", "floor: '10': Input should be a valid integer"),
        ("seeds: .inf\n", "seeds: inf"),
        ("learning_rate: .nan\n", "learning_rate: nan"),
        ("learning_rate: .inf\n", "learning_rate: inf"),
        ("runs: [adaptiv.fedavg]\n", "there is no training 'adaptiv.fedavg'; there are: adaptive"),
        ("small_cells: sometimes\n", "small_cells: 'sometimes'"),
        ("runs: []\n", "runs"),
        ("# " + "x" * 20_000, "is larger than 10000 bytes"),
        ("floor: \x1b[31m\n", "is no YAML"),
        (BOMB, "an alias or anchor (*, &) is not possible"),
        ("&a [*a]\n", "an alias or anchor (*, &) is not possible"),
        ("floor: " + "[" * 3000 + "]" * 3000, "a list in a list is not possible"),
        ("floor: " + "9" * 6000, "is no YAML: Exceeds the limit"),
        ("floor: 2020-13-45\n", "is no YAML: month must be in 1..12"),
        ('floor: 20\n"floor": 2\n', "floor stands there twice"),
        ("floor: 20\nsites: 4\nfloor: 2\n", "floor stands there twice"),
    ],
)
def test_a_policy_that_cannot_be_used_is_one_line(
    tmp_path: Path, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / "policy.yml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_policy(tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "policy.yml") in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_policy_that_others_can_change_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_policy(tmp_path, SitePolicy())
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        with pytest.raises(InputError, match="can be changed by other accounts: chmod go-w '"):
            read_policy(tmp_path)
    path.chmod(0o644)
    assert read_policy(tmp_path) == SitePolicy()
    elsewhere = tmp_path / "elsewhere.yml"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert read_policy(tmp_path) == SitePolicy()
    owner = elsewhere.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    if owner:  # what root owns is root's to change
        with pytest.raises(InputError, match="belongs to another account"):
            read_policy(tmp_path)


def test_a_link_to_a_device_is_no_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is missing"):
        read_policy(tmp_path)


def test_no_field_can_be_forgotten_in_the_file(tmp_path: Path) -> None:
    names = [line.partition(":")[0] for line in write_policy(tmp_path, SitePolicy()).open()]
    assert names[1:] == list(itertools.chain(SitePolicy.model_fields))
