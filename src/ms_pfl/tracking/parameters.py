"""Settings of the MLflow record."""

from pydantic import Field

from ms_pfl.config import Section
from ms_pfl.yaml_text import YamlText


class TrackingParameters(Section):
    """Where in MLflow a run is recorded; the ``tracking`` block of the configuration."""

    experiment: YamlText = Field(
        min_length=1, max_length=500, description="Name of the MLflow experiment of all runs."
    )
