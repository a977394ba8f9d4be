"""Parameters in, a folder of four tables out."""

from __future__ import annotations

import logging
from typing import Any

from kedro.pipeline import Node, Pipeline

from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters

_log = logging.getLogger(__name__)


def simulate_registry(
    parameters: SyntheticRegistryParameters, registry_folder: str | None
) -> dict[str, Any]:
    """Simulate the four tables of a registry, unless somebody's own are to be read.

    Args:
        parameters: size, seed and heterogeneity of the simulation.
        registry_folder: a folder of one's own tables; where given, nothing is simulated.

    Returns:
        The fields of :class:`ms_pfl.registry.ingest.tables.RegistryTables`; empty where
        ``registry_folder`` is given.
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


def create_pipeline() -> Pipeline:
    """``params:synthetic_registry`` -> ``synthetic_registry`` (below ``data/01_raw``)."""
    return Pipeline(
        [
            Node(
                func=simulate_registry,
                inputs=["params:synthetic_registry", "params:registry_folder"],
                outputs="synthetic_registry",
                name="simulate_registry",
            )
        ]
    )
