"""Every parameter of the project, typed: what conf/ holds and --params may change."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from ms_pfl.cohort.parameters import (
    CohortParameters,
    OwnEpisodesParameters,
    SplitFractions,
    closed_up,
)
from ms_pfl.config import Section
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.prediction.parameters import PredictionParameters
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.studies.parameters import (
    AttributionParameters,
    AuditParameters,
    HeterogeneityStudyParameters,
    NewCountryParameters,
)
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.yaml_text import YamlPath

_OPTIMIZER = ("learning_rate", "weight_decay", "batch_size", "plateau")
MOVED: dict[str, str] = {
    "model": "training.network",
    "federated": "training.federation",
    **{
        name: f"training.{name}"
        for name in ("protocol", "strategies", "centralized", "local", "fine_tuned")
    },
    **{f"training.{name}": f"training.optimizer.{name}" for name in _OPTIMIZER},
}
"""Where keys of earlier versions are now."""


class Parameters(Section):
    """All parameters; a key that is not here is a typo."""

    device: Device = Field(description="auto (a GPU where there is one), cpu or cuda")
    training: TrainingSettings
    registry_folder: YamlPath | None = Field(
        description="folder of your own registry tables; null: the synthetic registry"
    )
    episodes_file: YamlPath | None = Field(
        description="an custom episodes table (.csv, .xlsx, ...) for the pipeline modelling"
    )
    own_episodes: OwnEpisodesParameters
    heart_folder: YamlPath | None = Field(
        description="folder of the UCI Heart Disease files (--env=heart)"
    )
    heart_rows: Literal["complete", "all"] = Field(
        description="complete: rows with ten predictors; all: every row, with all thirteen"
    )
    synthetic_registry: SyntheticRegistryParameters
    ingest: IngestParameters
    cohort: CohortParameters
    splits: SplitFractions
    seeds: tuple[int, ...] = Field(
        min_length=1, description="each seed is a split of the patients and an initialization"
    )
    ray: RayParameters
    checkpoints: CheckpointParameters
    comparison: ComparisonParameters
    attribution: AttributionParameters
    audit: AuditParameters
    new_country: NewCountryParameters
    heterogeneity_study: HeterogeneityStudyParameters
    prediction: PredictionParameters
    tracking: TrackingParameters

    @model_validator(mode="after")
    def _treatments_lead_to_known_drugs(self) -> Self:
        classes = self.cohort.treatments
        drugs = [drug for name in type(classes).model_fields for drug in getattr(classes, name)]
        known = {closed_up(name): name for drug in drugs for name in drug}
        for text, target in self.ingest.treatments.items():
            if closed_up(target) not in known:
                close = difflib.get_close_matches(closed_up(target), known, n=1)
                hint = f"did you mean '{known[close[0]]}'" if close else "add it there"
                raise ValueError(
                    f"Parameter 'ingest.treatments': {text!r} leads to {target!r}, which is no "
                    f"name in cohort.treatments; {hint}"
                )
        return self


def plain(parameters: Any) -> Any:
    """Return parameters without their types, as YAML has them, however deep a typed part lies."""
    if isinstance(parameters, BaseModel):
        return parameters.model_dump(mode="json")
    if isinstance(parameters, Mapping):
        return {name: plain(value) for name, value in parameters.items()}
    return parameters


def describe(error: ValidationError) -> str:
    """One line of a pydantic error: parameter, value and remedy; the rest are counted.

    Args:
        error: of :class:`Parameters`.
    """
    # a key that is no more there explains why others are missing
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden" and name in MOVED:
        text = f"Parameter '{name}' is now '{MOVED[name]}'; set it there"
    elif first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'" if close else f"known are: {', '.join(known)}"
        text = f"Parameter '{name}' is unknown; {hint}"
    elif not first["loc"]:  # of several parameters together, which the message names
        text = first["msg"].removeprefix("Value error, ")
    elif first["type"] == "missing":
        text = f"Parameter '{name}' is missing from the configuration"
    else:
        value = repr(first["input"])
        value = value if len(value) <= 80 else value[:77] + "..."
        text = f"Parameter '{name}' = {value}: {first['msg'].removeprefix('Value error, ')}"
    more = error.error_count() - 1
    rest = f" ({more} more parameter{'s' if more > 1 else ''} to correct)" if more else ""
    return f"{text}{rest}; set parameters in conf/<env>/parameters*.yml or by --params"


def _fields_at(path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that stands at ``path`` below :class:`Parameters`."""
    model: type[BaseModel] = Parameters
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        candidates = [inner, *getattr(inner, "__args__", ())]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)
