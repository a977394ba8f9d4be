"""What a person sets about the protocol audit."""

from __future__ import annotations

from pydantic import Field

from ms_pfl.config import Section


class AuditParameters(Section):
    """The bootstrap of the protocol audit."""

    replicates: int = Field(ge=100, description="draws of patients")
    seed: int = Field(ge=0, description="of the draws")
