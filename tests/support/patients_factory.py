"""Patients with several episodes, for tests of the bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd


def clustered(seed: int = 0, countries: int = 3) -> pd.DataFrame:
    """Patients with one to six episodes; scores tied on purpose; country c2 has one class."""
    random = np.random.default_rng(seed)
    rows = []
    for c in range(countries):
        for p in range(int(random.integers(10, 14))):
            for _ in range(int(random.integers(1, 7))):
                label = 0 if c == 2 else int(random.random() < 0.4)
                score = round(float(1 / (1 + np.exp(-random.normal(label)))), 1)
                rows.append((f"c{c}", f"p{p}", label, score))
    return pd.DataFrame(rows, columns=["country", "patient_id", "label", "probability"])


def risks(n: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> tuple[np.ndarray, ...]:
    """Labels drawn from known risks, and risks that are shifted and spread in logits."""
    random = np.random.default_rng(seed)
    x = random.normal(-1, 1.2, n)
    labels = (random.random(n) < 1 / (1 + np.exp(-x))).astype(np.int8)
    return labels, 1 / (1 + np.exp(-(shift + spread * x)))
