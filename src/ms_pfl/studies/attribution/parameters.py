"""What a person sets about the attribution."""

from __future__ import annotations

from pydantic import Field

from ms_pfl.config import Section


class AttributionParameters(Section):
    """Permutation importance of the models."""

    repeats: int = Field(ge=1, description="permutations of each group of features")
    seed: int = Field(ge=0, description="of the permutations")
