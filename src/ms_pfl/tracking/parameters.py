"""Settings of the MLflow record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ms_pfl.yaml_text import YamlText


class TrackingParameters(BaseModel):
    """Where in MLflow a run is recorded; the ``tracking`` block of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: YamlText = Field(
        min_length=1, max_length=500, description="Name of the MLflow experiment of all runs."
    )
