"""What several benchmarks measure with: memory of a process tree, Markdown tables, the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

_MIB = 2**20
_PROC = Path("/proc")


class PeakMemory:
    """Samples the memory of this process and all its descendants; used in a ``with`` statement.

    PSS counts a page that several processes share once (each has its part of it), RSS counts it
    in each of them. Ray's own processes and its object store are descendants, so they count.
    All figures are in MiB. Linux only (``/proc/<pid>/smaps_rollup``).

    Attributes:
        pss, rss: highest sum over all processes.
        driver: highest PSS of this process.
        worker: highest PSS of a Ray worker process.
    """

    def __init__(self, seconds: float = 0.25) -> None:
        """Sample so often."""
        self.pss = self.rss = self.driver = self.worker = 0.0
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        """Begin to sample."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Sample once more and stop."""
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(self._seconds):
            self._sample()

    def _sample(self) -> None:
        me = os.getpid()
        pss = rss = 0.0
        for pid in [me, *_descendants(me)]:
            # a process may end between being listed and being read
            with suppress(OSError, StopIteration):
                memory = dict(_rollup(pid))
                pss += memory["Pss"]
                rss += memory["Rss"]
                if pid == me:
                    self.driver = max(self.driver, memory["Pss"])
                elif (_PROC / str(pid) / "cmdline").read_bytes().startswith(b"ray::"):
                    self.worker = max(self.worker, memory["Pss"])
        self.pss, self.rss = max(self.pss, pss), max(self.rss, rss)


def workers_cpu_seconds() -> float:
    """CPU time of all Ray workers below this process so far, user and system."""
    total = 0
    for pid in _descendants(os.getpid()):
        with suppress(OSError):
            if (_PROC / str(pid) / "cmdline").read_bytes().startswith(b"ray::"):
                fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _rollup(pid: int) -> Iterable[tuple[str, float]]:
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Pss", "Rss"):
            yield name, int(rest.split()[0]) / 1024


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in _PROC.iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                # the name in brackets may hold spaces; the parent is the second field after it
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(path.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def apart(script: str, *arguments: object) -> dict[str, Any]:
    """What a Python script, run in a process of its own, prints last: a line of JSON."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers are rounded to what a reader can use."""
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """The machine in words: cores, memory, whether other work is going on."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _MIB / 1024
    return (
        f"{cores} cores ({platform.machine()}), {memory:.0f} GiB, no GPU in use; "
        f"load at the end {os.getloadavg()[0]:.1f}"
    )
