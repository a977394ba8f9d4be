"""What a whole run costs: seconds by the clock and peak memory of all its processes.

``python benchmarks/whole_run.py kedro run --pipeline=further_methods --env=full`` runs the command
after its name as it stands, in the present folder, shows what it prints, and adds a line with the
time and the peak of PSS (a page that processes share counts once), sampled every two seconds. It
ends with the status of the command.
"""

from __future__ import annotations

import subprocess
import sys
import time

from support import PeakMemory, machine


def main(command: list[str]) -> int:
    """Run the command and print what it cost."""
    if not command or command[0].startswith("-"):
        print(__doc__)
        return 2
    began = time.monotonic()
    with PeakMemory(seconds=2.0) as memory:
        status = subprocess.run(command, check=False).returncode
    minutes = (time.monotonic() - began) / 60
    print(f"{minutes:.1f} minutes; peak {memory.pss:,.0f} MiB, largest worker {memory.worker:,.0f}")
    print(machine())
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
