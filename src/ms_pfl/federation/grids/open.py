"""Open the grid of a simulation that the configuration asks for."""

from __future__ import annotations

from collections.abc import Iterable

from ms_pfl.federation.grids.local import LocalGrid
from ms_pfl.federation.grids.named import Node
from ms_pfl.federation.grids.simulated import SimulationGrid
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import FederationData
from ms_pfl.learning.parameters import Device


def open_grid(
    data: FederationData, nodes: Iterable[Node], parameters: RayParameters, device: Device
) -> SimulationGrid:
    """A grid over some nodes: on Ray workers, or in this process with ``num_workers`` 0.

    The Ray workers start at the first call and serve all later ones.
    """
    if parameters.num_workers == 0:
        return LocalGrid(data, nodes)
    from ms_pfl.federation.grids.ray.grid import RayGrid
    from ms_pfl.federation.grids.ray.shared_pool import worker_pool

    return RayGrid(worker_pool(parameters, device, len(data.countries)), data, nodes)
