"""Which drugs are chosen in the simulated registry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ms_pfl.registry.synthetic.treatment import NONE, choose_drugs
from synthetic_examples import NAMES, profile_of, rng


def test_drugs_are_chosen_from_what_there_is() -> None:
    profile = profile_of()

    def choose(
        current: int, year: float, escalate: bool, delay: float = 0.0, had: str = ""
    ) -> set[str]:
        m = 500
        found = choose_drugs(
            np.full(m, current),
            np.full(m, year),
            np.full(m, escalate),
            np.tile([name == had for name in NAMES], (m, 1)),
            replace(profile, approval_delay=delay),
            rng(),
        )
        return {"none" if k == NONE else NAMES[k] for k in found}

    assert choose(NONE, 1993.0, False) == {"azathioprine"}
    interferon, natalizumab = NAMES.index("interferon beta-1a"), NAMES.index("natalizumab")
    assert choose(natalizumab, 2010.0, True) == {"none"}
    assert "natalizumab" not in choose(interferon, 2006.4, True)
    assert "natalizumab" in choose(interferon, 2006.5, True)
    assert "natalizumab" not in choose(interferon, 2006.5, True, delay=1.0)
    assert "interferon beta-1a" not in choose(interferon, 2010.0, False)
    assert "mitoxantrone" in choose(interferon, 2003.0, True)
    assert choose(interferon, 2003.0, True, had="mitoxantrone") == {"none"}
    assert "daclizumab" in choose(NONE, 2018.1, False)
    assert "daclizumab" not in choose(NONE, 2018.2, False)
