"""Which models are asked what they use."""

from __future__ import annotations

from ms_pfl.paradigms import PARADIGMS, Training


def asked() -> list[Training]:
    """The study's global model, then the personal ones that are compared with it.

    One strategy of each, the first, as the strategies of a paradigm differ little in what their
    models use.
    """
    return [
        Training(row.name, row.strategies[0])
        for role in ("global", "personalized")
        for row in PARADIGMS.values()
        if row.role == role and row.family == "study" and row.program is not None
    ]
