"""Nodes of the synthetic registry."""

from __future__ import annotations

import logging

import pandas as pd

from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters

_log = logging.getLogger(__name__)


def simulate_registry(
    parameters: SyntheticRegistryParameters, registry_folder: str | None
) -> dict[str, pd.DataFrame]:
    """Simulate the four tables of a registry, unless somebody's own are to be read.

    Args:
        parameters: size, seed and heterogeneity of the simulation.
        registry_folder: a folder of one's own tables; where given, nothing is simulated.

    Returns:
        Table by name; empty where ``registry_folder`` is given.
    """
    if registry_folder is not None:
        _log.info("Own tables are read from %s: no registry is simulated", registry_folder)
        return {}
    from ms_pfl.registry.synthetic.simulation import simulate

    tables = simulate(parameters)
    _log.info(
        "Synthetic registry (no real people): %s patients, %s visits",
        f"{len(tables.patients):,}",
        f"{len(tables.visits):,}",
    )
    return vars(tables)
