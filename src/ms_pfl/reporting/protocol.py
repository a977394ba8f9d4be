"""The study's protocol choices in words."""

from __future__ import annotations

from collections.abc import Mapping

# choice -> the published value, and what it means
PUBLISHED: dict[str, tuple[object, str]] = {
    "split_unit": ("episode", "episodes split at random, not patients"),
    "scaling": ("country", "each country scaled by its own mean and sd"),
    "selection": ("test", "best round chosen by test ROC-AUC"),
    "personal_arrays": ("reset", "personal layers drawn anew at every message"),
    "proximal_term": (False, "FedProx without its proximal term"),
    "fine_tuning_rows": ("redrawn", "fine-tuning on rows drawn anew"),
}


def published_choices(protocol: Mapping[str, object]) -> list[str]:
    """The published choices that a protocol makes, in words.

    >>> published_choices({"split_unit": "episode", "proximal_term": True})
    ['episodes split at random, not patients']
    """
    return [words for name, (value, words) in PUBLISHED.items() if protocol.get(name) == value]


def variant_name(variant: str) -> str:
    """A variant of the audit in words.

    >>> variant_name("selection"), variant_name("together")
    ('Best round chosen by test ROC-AUC', 'All published choices together')
    """
    if variant == "sound":
        return "Sound protocol"
    if variant == "together":
        return "All published choices together"
    words = PUBLISHED[variant][1]
    return words[0].upper() + words[1:]
