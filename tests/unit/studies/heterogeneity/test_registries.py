"""Which registries the heterogeneity study trains on."""

from __future__ import annotations

import pytest

from ms_pfl.errors import InputError
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.studies.heterogeneity.registries import registries, with_common_knob, with_way
from ms_pfl.studies.parameters import HeterogeneityStudyParameters, WayParameters
from support import read_parameters

BASE = read_parameters()


def test_each_data_seed_has_every_knob_and_way() -> None:
    slopes = WayParameters(heterogeneity={"rater": 0.5}, deviations={"rater": 0.3})
    study = HeterogeneityStudyParameters(
        knobs=(0.0, 2.0),
        ways={"slopes_only": slopes},
        data_seeds=(7, 8),
        n_patients=200,
    )
    found = list(registries(BASE.synthetic_registry, study))
    assert [(one.way, one.knob, one.parameters.seed) for one in found] == [
        (way, knob, seed)
        for seed in (7, 8)
        for way, knob in (("common", 0.0), ("common", 2.0), ("slopes_only", 1.0))
    ]
    assert {one.parameters.n_patients for one in found} == {200}
    zero, two, way = (one.parameters for one in found[:3])
    assert set(zero.heterogeneity.model_dump().values()) == {0.0}
    assert set(two.heterogeneity.model_dump().values()) == {2.0}
    assert (way.heterogeneity.rater, way.heterogeneity.hazard) == (0.5, 1.0)
    assert way.deviations.rater == 0.3
    assert found[1].title == "knobs x 2, data seed 7"
    assert found[2].title == "slopes only x 1, data seed 7"


@pytest.mark.parametrize("name", ["case_mix_only", "slopes_only"])
def test_the_ways_are_the_environments_of_the_same_name(name: str) -> None:
    way = BASE.heterogeneity_study.ways[name]
    environment: SyntheticRegistryParameters = read_parameters(name).synthetic_registry
    assert with_way(BASE.synthetic_registry, way) == environment


@pytest.mark.parametrize("name", ["case_mix_only", "slopes_only"])
def test_the_other_way_is_as_in_the_first_registry(name: str) -> None:
    first = read_parameters("first_registry").synthetic_registry.deviations.model_dump()
    own = read_parameters(name).synthetic_registry.deviations.model_dump()
    knobs = read_parameters(name).synthetic_registry.heterogeneity.model_dump()
    slopes = {deviation for deviation in own if deviation.startswith("effect_")}
    other = slopes if name == "case_mix_only" else set(own) - slopes - {"balanced"}
    assert {deviation: own[deviation] for deviation in other} == {
        deviation: first[deviation] for deviation in other
    }
    raised = {knob for knob, value in knobs.items() if value > 1}
    assert raised == (
        {"case_mix", "rater", "hazard"} if name == "case_mix_only" else {"predictor_effects"}
    )


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match=r"heterogeneity_study.knobs: 4 times"):
        with_common_knob(BASE.synthetic_registry, 4.0)
    way = WayParameters(heterogeneity={"raters": 1.0}, deviations={})
    with pytest.raises(InputError, match=r"heterogeneity_study.ways: .*raters"):
        with_way(BASE.synthetic_registry, way)
