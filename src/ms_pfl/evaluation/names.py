"""Full words for the identifiers of paradigms and strategies, and their order."""

from __future__ import annotations

import pandas as pd

# In the order of the tables; the two that are recalibrated are trained nowhere.
PARADIGMS = {
    "centralized": "Centralized",
    "local": "Local",
    "federated": "Federated",
    "recalibrated": "Recalibrated",
    "recalibrated_slope": "Recalibrated with slope",
    "fine_tuned": "Fine-tuned",
    "adaptive": "Adaptive",
}
# Paradigms that train in rounds; the others count epochs.
ROUNDS = ("federated", "adaptive")
STRATEGIES = {
    "pooled": "",
    "none": "",
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedadam": "FedAdam",
    "fedyogi": "FedYogi",
    "fedadagrad": "FedAdagrad",
}


def paradigm_name(paradigm: str) -> str:
    """Return the paradigm in full words; one that is not listed here keeps its own name."""
    return PARADIGMS.get(paradigm) or paradigm.replace("_", " ").capitalize()


def strategy_name(strategy: str) -> str:
    """Return the strategy in full words, empty where a paradigm has none to choose."""
    return STRATEGIES.get(strategy, strategy)


def model_name(paradigm: str, strategy: str) -> str:
    """Return what the tables call a paradigm trained with a strategy.

    >>> model_name("fine_tuned", "fedavg")
    'Fine-tuned FedAvg'
    >>> model_name("centralized", "pooled")
    'Centralized'
    """
    return f"{paradigm_name(paradigm)} {strategy_name(strategy)}".strip()


def model_key(paradigm: str, strategy: str) -> tuple[int, str, int, str]:
    """Return a sorting key: Table 1's order, that is by strategy, then by paradigm.

    Centralized and local come first because their strategies (``pooled``, ``none``) do.
    What this module does not know comes last, by name.
    """
    strategies, paradigms = list(STRATEGIES), list(PARADIGMS)
    return (
        strategies.index(strategy) if strategy in STRATEGIES else len(strategies),
        strategy,
        paradigms.index(paradigm) if paradigm in PARADIGMS else len(paradigms),
        paradigm,
    )


def models_in_order(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the distinct (paradigm, strategy) pairs of a table in the order of Table 1."""
    pairs = frame[["paradigm", "strategy"]].drop_duplicates().itertuples(index=False, name=None)
    return sorted(((str(p), str(s)) for p, s in pairs), key=lambda pair: model_key(*pair))
