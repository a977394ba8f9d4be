"""Nodes of the protocol audit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from ms_pfl.cohort.parameters import SplitFractions
from ms_pfl.federation.parameters import (
    CheckpointParameters,
    ProtocolParameters,
    RayParameters,
    RoundsParameters,
    StrategiesParameters,
)
from ms_pfl.learning.parameters import Device, ModelParameters, TrainingParameters
from ms_pfl.training.parameters import (
    AuditParameters,
    CentralizedParameters,
    FineTunedParameters,
    LocalParameters,
    ParadigmParameters,
)

_log = logging.getLogger(__name__)
_MODELS = (
    ("federated", "fedavg"),
    ("federated", "fedprox"),
    ("fine_tuned", "fedavg"),
    ("adaptive", "fedavg"),
)
# The models that a choice acts on, where that is not all.
_ACTS_ON = {
    "personal_arrays": (("adaptive", "fedavg"),),
    "proximal_term": (("federated", "fedprox"),),
    "fine_tuning_rows": (("fine_tuned", "fedavg"),),
}
SOUND: dict[str, object] = {
    "split_unit": "patient",
    "scaling": "federated",
    "selection": "validation",
    "personal_arrays": "kept",
    "proximal_term": True,
    "fine_tuning_rows": "same",
}
# The sound protocol, each published choice alone, and all of them.
VARIANTS = ("sound", *SOUND, "together")


def protocol_of(variant: str) -> ProtocolParameters:
    """The protocol of a variant: sound but for the choice that it is named for."""
    from ms_pfl.reporting.protocol import PUBLISHED

    flipped = SOUND if variant == "together" else [] if variant == "sound" else [variant]
    return ProtocolParameters.model_validate(SOUND | {name: PUBLISHED[name][0] for name in flipped})


def trainer(variant: str) -> Callable[..., pd.DataFrame]:
    """The node function that trains what a variant of the protocol acts on."""

    def train_variant(
        episodes: pd.DataFrame,
        unfinished: Any,
        seeds: Sequence[int],
        fractions: SplitFractions,
        device: Device,
        ray: RayParameters,
        checkpoints: CheckpointParameters,
        model: ModelParameters,
        training: TrainingParameters,
        strategies: StrategiesParameters,
        centralized: CentralizedParameters,
        local: LocalParameters,
        federated: RoundsParameters,
        fine_tuned: FineTunedParameters,
    ) -> pd.DataFrame:
        """Train, with a line a model on the console; returns predictions, named by variant."""
        from ms_pfl.console import TrainingProgress
        from ms_pfl.paradigms import model_name
        from ms_pfl.pipelines.preprocessing.nodes import split
        from ms_pfl.reporting.protocol import variant_name
        from ms_pfl.training.train import train

        protocol = protocol_of(variant)
        splits, _ = split(episodes, seeds, fractions, protocol)
        parameters = ParadigmParameters(
            device=device,
            model=model,
            training=training,
            protocol=protocol,
            strategies=strategies,
            centralized=centralized,
            local=local,
            federated=federated,
            fine_tuned=fine_tuned,
        )
        models: dict[str, Any] = {}
        tables = []
        wanted = _ACTS_ON.get(variant, _MODELS)
        for paradigm, strategy in _MODELS:
            start = (paradigm, strategy) == ("federated", "fedavg")
            if not ((paradigm, strategy) in wanted or (start and variant == "fine_tuning_rows")):
                continue
            title = f"{variant_name(variant)}: {model_name(paradigm, strategy)}"
            with TrainingProgress(title) as progress:
                outcome = train(
                    paradigm,
                    strategy,
                    episodes,
                    splits,
                    None,
                    parameters,
                    ray,
                    models.get(strategy),
                    progress,
                    unfinished,
                    checkpoints.every_rounds,
                )
            if start:
                models[strategy] = outcome.models
            if (paradigm, strategy) in wanted:
                tables.append(outcome.predictions)
        return pd.concat(tables, ignore_index=True).assign(variant=variant)

    train_variant.__name__ = f"train_{variant}"
    return train_variant


def measure(parameters: AuditParameters, **predictions: pd.DataFrame) -> pd.DataFrame:
    """What each choice adds to ROC-AUC, with a 95 % interval."""
    from ms_pfl.studies.protocol_audit.compare import measure as measure_audit

    table = pd.concat([predictions[variant] for variant in VARIANTS], ignore_index=True)
    return measure_audit(table, parameters.replicates, parameters.seed)


def show(audit: pd.DataFrame, cohort: dict[str, Any]) -> tuple[pd.DataFrame, str, Any]:
    """Lay the audit out as a table, as a Markdown page, and as a figure."""
    from ms_pfl.studies.protocol_audit.show import audit_page, audit_table, draw_audit

    table = audit_table(audit)
    return table, audit_page(table, cohort["source"]), draw_audit(audit)
