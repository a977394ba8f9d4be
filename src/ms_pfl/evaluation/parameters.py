"""Settings of the comparison."""

from typing import Annotated

from pydantic import Field

from ms_pfl.config import Section

Threshold = Annotated[float, Field(gt=0, lt=1)]


class ComparisonParameters(Section):
    """How sure the comparison is asked to be; the ``comparison`` block of the configuration."""

    replicates: int = Field(ge=100, description="draws of patients of the bootstrap")
    seed: int = Field(ge=0, description="of the draws")
    thresholds: tuple[Threshold, ...] = Field(
        min_length=1, description="probabilities from which on one would act (net benefit)"
    )
