"""Every parameter of the project, typed: what conf/ holds and --params may change."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ms_pfl.cohort.own_parameters import OwnEpisodesParameters
from ms_pfl.cohort.parameters import CohortParameters, SplitFractions
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.paradigms.parameters import ParadigmParameters
from ms_pfl.registry.parameters import SyntheticRegistryParameters
from ms_pfl.tracking.parameters import TrackingParameters


class Parameters(ParadigmParameters):
    """All parameters; a key that is not here is a typo."""

    registry_folder: str | None = Field(
        description="folder of one's own registry tables; null: the synthetic registry"
    )
    episodes_file: str | None = Field(
        description="an episodes table of one's own (.csv, .parquet) for the pipeline modelling"
    )
    own_episodes: OwnEpisodesParameters
    heart_folder: str | None = Field(
        description="folder of the UCI Heart Disease files (--env=heart)"
    )
    heart_rows: Literal["complete", "all"] = Field(
        description="complete: rows with ten predictors; all: every row, with all thirteen"
    )
    synthetic_registry: SyntheticRegistryParameters
    cohort: CohortParameters
    splits: SplitFractions
    seeds: tuple[int, ...] = Field(
        min_length=1, description="each seed is a split of the patients and an initialization"
    )
    ray: RayParameters
    tracking: TrackingParameters
