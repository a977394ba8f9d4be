"""The variants of the protocol: the sound one, each published choice alone, and all of them."""

from __future__ import annotations

from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.reporting.words import PUBLISHED, capitalized

SOUND: dict[str, object] = {
    "split_unit": "patient",
    "scaling": "federated",
    "selection": "validation",
    "personal_arrays": "kept",
    "proximal_term": True,
    "fine_tuning_rows": "same",
}
VARIANTS = ("sound", *SOUND, "together")


def protocol_of(variant: str) -> ProtocolParameters:
    """The protocol of a variant: sound but for the choice that it is named for."""
    flipped = SOUND if variant == "together" else [] if variant == "sound" else [variant]
    return ProtocolParameters.model_validate(SOUND | {name: PUBLISHED[name][0] for name in flipped})


def variant_name(variant: str) -> str:
    """A variant in words.

    >>> variant_name("selection"), variant_name("together")
    ('Best round chosen by test ROC-AUC', 'All published choices together')
    """
    names = {"sound": "Sound protocol", "together": "All published choices together"}
    return names.get(variant) or capitalized(PUBLISHED[variant][1])
