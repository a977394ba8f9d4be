"""What a running Ray cluster says of itself: its nodes, and where its actors were.

``python deploy/cluster/ray_cluster.py ADDRESS NODES`` waits until so many nodes have joined, prints
them, and fails after ``--seconds``. It asks the head's store (GCS), so it works from any machine
that reaches it, and takes no core of the cluster.
"""

from __future__ import annotations

import argparse
import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class RayNode:
    """A living node: its id, its address and its CPU cores and GPUs."""

    node_id: str
    host: str
    cores: int
    gpus: int


class RayCluster:
    """The cluster whose head listens at ``address`` (host:port)."""

    def __init__(self, address: str) -> None:
        """Nothing is asked yet."""
        # Ray's public functions for this need a dashboard, or a core for a driver
        from ray._private.state import GlobalState
        from ray._raylet import GcsClientOptions

        self._state = GlobalState()
        self._state._initialize_global_state(
            GcsClientOptions.create(
                address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )

    def nodes(self) -> list[RayNode]:
        """Return the nodes that live, in the order of their ids."""
        found = []
        for node in self._state.node_table():
            if node["Alive"]:
                resources = node["Resources"]
                cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
                found.append(RayNode(node["NodeID"], node["NodeManagerAddress"], cores, gpus))
        return sorted(found, key=lambda node: node.node_id)

    def actors(self) -> dict[str, list[str]]:
        """Ids of the nodes on which an actor of each class was started, also of ended ones."""
        found: dict[str, list[str]] = {}
        for actor in self._state.actor_table(None).values():
            if node_id := actor["Address"]["NodeID"]:
                found.setdefault(actor["ActorClassName"], []).append(node_id)
        return found


def await_nodes(address: str, count: int, seconds: float) -> list[RayNode]:
    """Return the nodes, once there are so many.

    Raises:
        TimeoutError: there are fewer after so many seconds.
    """
    until = time.monotonic() + seconds
    nodes: list[RayNode] = []
    while True:
        try:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()  # Ray's own try is long
            nodes = RayCluster(address).nodes()
        except Exception as error:  # the head has not started to listen
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
        else:
            said = f"{len(nodes)} of {count} nodes have joined"
        if len(nodes) >= count:
            return nodes
        if time.monotonic() > until:
            raise TimeoutError(f"the Ray cluster at {address}, after {seconds:.0f} s: {said}")
        time.sleep(0.5)


def main(arguments: list[str] | None = None) -> int:
    """Wait for the nodes and print them."""
    parser = argparse.ArgumentParser(description="Wait until a Ray cluster has all its nodes.")
    parser.add_argument("address", help="host:port of the head")
    parser.add_argument("nodes", type=int, help="how many there should be")
    parser.add_argument("--seconds", type=float, default=120, help="how long (default: 120)")
    asked = parser.parse_args(arguments)
    try:
        nodes = await_nodes(asked.address, asked.nodes, asked.seconds)
    except TimeoutError as error:
        print(error)
        return 1
    for node in nodes:
        print(f"Ray node {node.node_id[:8]} at {node.host}: {node.cores} cores, {node.gpus} GPUs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
