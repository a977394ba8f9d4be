"""Scores of countries that were left out, with a gain that a test chooses."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.inference import add_verdicts

MARGINS = {"roc_auc": 0.01, "log_loss": 0.002}
PAIRS = [
    ("personal", "global"),
    ("personal", "local"),
    ("local", "global"),
    ("took_part", "global"),
]


def tables(personal: float, low: float, high: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two countries; the gain of fine-tuning with all patients, and no gain before."""
    estimates, differences = [], []
    known = {"local": (-0.1, -0.2, -0.05), "took_part": (0.02, -0.01, 0.04)}
    for size in ("0", "50", "all"):
        kinds = {"global": 0.7, "took_part": 0.72}
        if size != "0":
            kinds |= {"personal": 0.7 + personal, "local": 0.6}
        tuned = (personal, low, high) if size == "all" else (0.0, -0.1, 0.1)
        for metric, sign in (("roc_auc", 1), ("log_loss", -1)):
            for kind, value in kinds.items():
                places = [("pooled", "", 2), ("macro", "", 2)]
                places += [("country", country, 1) for country in ("Aland", "Bland")]
                places += [("further", "", 2)] if size == "0" else []
                for scope, country, n in places:
                    told = {"kind": kind, "size": size, "scope": scope, "country": country}
                    numbers = {"value": value, "low": value - 0.1, "high": value + 0.1}
                    if kind == "global" and size == "0" and country:
                        numbers |= {"expected_low": 0.65, "expected_high": 0.75}
                        numbers["value"] = {"Aland": 0.7, "Bland": 0.6}[country]
                    estimates.append(told | numbers | {"metric": metric, "n_countries": n})
            for kind, reference in PAIRS:
                if {kind, reference} <= kinds.keys():
                    value, *bounds = (sign * v for v in known.get(kind, tuned))
                    told = {"kind": kind, "reference": reference, "size": size, "metric": metric}
                    numbers = {
                        "difference": value,
                        "low": min(bounds),
                        "high": max(bounds),
                        "p": 0.5,
                    }
                    for scope in ("pooled", "macro"):
                        own = {"scope": scope, "country": "", "p": 0.5}
                        differences.append(told | numbers | own)
    judged = add_verdicts(pd.DataFrame(differences), {"roc_auc": 1, "log_loss": -1}, MARGINS)
    return pd.DataFrame(estimates), judged
