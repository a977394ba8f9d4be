"""How many examples a property is tried on: a few (dev), as the test says (ci), many (nightly)."""

from __future__ import annotations

import os

from hypothesis import settings

SCALES = {"dev": 0.1, "ci": 1.0, "nightly": 10.0}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")


def load_profile() -> None:
    """Set what holds for all properties; the environment names the profile."""
    # how long an example takes says more of the machine than of the code
    settings.register_profile(PROFILE, deadline=None, max_examples=examples(100))
    settings.load_profile(PROFILE)


def examples(number: int) -> int:
    """Scale a number of examples to the profile."""
    return max(1, round(number * SCALES[PROFILE]))
