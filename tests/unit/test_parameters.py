"""Every environment's parameters are valid, and a wrong one is told in one line."""

from __future__ import annotations

import pytest

from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.parameters import Parameters, plain
from parameter_examples import complaint, load


@pytest.mark.parametrize("env", ["base", "smoke", "full", "paper", "heart", "as_published"])
def test_each_environment_is_valid(env: str) -> None:
    Parameters.model_validate(load(env))


def test_paper_has_the_published_hyper_parameters() -> None:
    paper = Parameters.model_validate(load("paper"))
    assert paper.synthetic_registry.n_patients == 57_500
    assert (paper.training.network.hidden_layers, paper.training.network.width) == (5, 512)
    assert paper.training.federation.rounds == 350
    strategies = paper.training.strategies
    assert (strategies.fedavg.epochs, strategies.fedprox.epochs) == (10, 20)
    assert strategies.fedprox.proximal_mu == 0.001
    assert len(paper.seeds) == 10


def test_typo_at_the_top_names_the_parameter_that_was_meant() -> None:
    assert "'rya' is unknown; did you mean 'ray'" in complaint({"rya": {"num_workers": 1}})


def test_typo_inside_names_the_place() -> None:
    said = complaint({"training": {"strategies": {"fedprox": {"proximal_nu": 0.1}}}})
    assert (
        "'training.strategies.fedprox.proximal_nu' is unknown; did you mean 'proximal_mu'" in said
    )


def test_impossible_value_names_the_value() -> None:
    said = complaint({"training": {"optimizer": {"learning_rate": -1}}})
    assert "'training.optimizer.learning_rate' = -1: Input should be greater than 0" in said


def test_several_wrong_parameters_are_counted() -> None:
    said = complaint({"training": {"optimizer": {"learning_rate": -1}}, "device": "tpu"})
    assert "(1 more parameter to correct)" in said


def test_a_treatment_map_to_no_known_drug_names_the_one_that_was_meant() -> None:
    said = complaint({"ingest": {"treatments": {"Local 7": "natalizumap"}}})
    assert said.startswith(
        "Parameter 'ingest.treatments': 'Local 7' leads to 'natalizumap', which is no name in "
        "cohort.treatments; did you mean 'natalizumab'"
    )


def test_a_map_out_of_the_contract_names_the_place() -> None:
    said = complaint({"ingest": {"columns": {"visits": {"score": "EDS"}}}})
    assert "columns.visits: 'score' leads to 'EDS', and visits has only PATIENT_ID" in said
    assert "'ingest.colums' is unknown; did you mean 'columns'" in complaint(
        {"ingest": {"colums": {}}}
    )


def test_typed_parts_at_any_depth_become_plain() -> None:
    """A node may type a part of a section alone."""
    protocol = load("base")["training"]["protocol"]
    typed = {"training": {"protocol": ProtocolParameters.model_validate(protocol)}, "seeds": [0]}
    assert plain(typed) == {"training": {"protocol": protocol}, "seeds": [0]}
