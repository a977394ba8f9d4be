"""Seconds per round and memory against the number of clients and of rows.

``python benchmarks/scale.py`` plays rounds of FedAvg (one local epoch) of the compact network of
conf/base (2 x 64, batch 256) on two workers: 10^4 to 10^6 rows in 32 clients, and 10^5 rows in 32
to 1000 clients, of very unequal sizes. Each size is a process of its own. Memory is the peak, from
the start to the last round: PSS of the driver and of the largest worker, and of all processes
together with Ray's. A federation holds its rows twice: the driver's, as whoever opens it has read
them, and the workers', each country in one of them.
"""

from __future__ import annotations

import argparse
import json
import statistics

from ms_pfl.federation.parameters import RayParameters
from ms_pfl.training.simulation import open_grid
from support import (
    PeakMemory,
    Rounds,
    apart,
    client_settings,
    federation_of,
    machine,
    nodes_of,
    read_parameters,
    table,
)

WORKERS = 2
ROUNDS = 5
SIZES = ((32, 10_000), (32, 100_000), (32, 1_000_000), (146, 100_000), (1000, 100_000))


def main(arguments: list[str] | None = None) -> int:
    """Measure every size, or one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="4 clients, 1,000 rows")
    parser.add_argument("--one", nargs=2, type=int, metavar=("CLIENTS", "ROWS"))
    asked = parser.parse_args(arguments)
    if asked.one:
        print(json.dumps(measured(*asked.one)))
        return 0
    lines = []
    for clients, rows in ((4, 1000),) if asked.quick else SIZES:
        told = apart(__file__, "--one", clients, rows)
        lines.append(
            [
                f"{clients:,}",
                f"{rows:,}",
                told["seconds"],
                told["seconds"] / rows * 1e6,
                told["seconds"] / clients * 1e3,
                *(f"{told[name]:,.0f}" for name in ("driver", "worker", "all")),
            ]
        )
    header = ["clients", "rows", "s a round", "us a row", "ms a client"]
    print(table([*header, "driver, MiB", "largest worker, MiB", "all processes, MiB"], lines))
    print(f"\n{machine()}")
    return 0


def measured(clients: int, rows: int) -> dict[str, float]:
    """Median seconds of a round after the first, and peaks of memory in MiB."""
    settings = client_settings("federated", read_parameters().training)
    ray = RayParameters(num_workers=WORKERS, address=None)
    with PeakMemory() as memory:
        data = federation_of(clients, rows)
        with open_grid(data, nodes_of(data), ray, "cpu") as grid:
            seconds = statistics.median(Rounds(grid, settings).seconds(ROUNDS + 1)[1:])
    return {
        "seconds": seconds,
        "driver": memory.driver,
        "worker": memory.worker,
        "all": memory.pss,
    }


if __name__ == "__main__":
    raise SystemExit(main())
