"""Where the time of a whole `kedro run --pipeline=pfl` goes.

``python benchmarks/profile_base.py`` runs the main job in this process, on a copy of conf/ in an
empty temporary folder, and prints seconds by part: one table of the run, one of the trainings by
paradigm. What a part waits for is in that part alone: the time of a function is without that of
the others that are timed within it. ``clients`` is the clients' own clock, added up and divided by
the number of workers: what a round would take if both workers were busy all the time. It lies
inside ``waiting for the workers``; the rest of that is the worker that is done before the other,
and Ray's transport.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from support import machine, table

_BEGAN = time.perf_counter()
_PROJECT = Path(__file__).resolve().parents[1]
_OUTSIDE = "outside of nodes (start-up, MLflow, console)"
_REST = "the rest of the nodes"


class Stopwatch:
    """Seconds by (node, part), each without what is timed within it."""

    def __init__(self) -> None:
        """Begin outside of any node."""
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.node = _OUTSIDE
        self._parts = [_REST]
        self._since = _BEGAN

    def _turn(self) -> None:
        now = time.perf_counter()
        self.seconds[self.node, self._parts[-1]] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of the present node."""
        self._turn()
        self._parts.append(name)
        try:
            yield
        finally:
            self._turn()
            self._parts.pop()

    def enter(self, node: str) -> None:
        """Go over to another node."""
        self._turn()
        self.node = node

    def time(self, owner: Any, name: str, part: str) -> None:
        """Have a function timed wherever it is looked up at its owner."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return function(*arguments, **named)

        setattr(owner, name, timed)


class Profile:
    """Kedro hooks that tell the stopwatch which node runs."""

    def __init__(self, watch: Stopwatch) -> None:
        """Note the clients' seconds by node too."""
        self._watch = watch
        self.clients: dict[str, float] = defaultdict(float)

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Any) -> None:
        """Enter the node, which begins with the first of its inputs."""
        self._watch.enter(node.name)

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Enter a node without inputs."""
        self._watch.enter(node.name)

    @hook_impl
    def after_node_run(self, node: Any, outputs: dict[str, Any]) -> None:
        """Add up what the clients needed, from the history."""
        for name, output in outputs.items():
            if name.endswith(".history") and name.count(".") == 2:
                self.clients[node.name] += float(output["seconds"].sum())

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Leave the last node."""
        self._watch.enter(_OUTSIDE)


def main(arguments: list[str] | None = None) -> int:
    """Run the main job and print the two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--env", default="base", help="folder of conf/ (default: base)")
    parser.add_argument("--quick", action="store_true", help="the same as --env=smoke")
    asked = parser.parse_args(arguments)
    watch = Stopwatch()
    profile = Profile(watch)
    with tempfile.TemporaryDirectory() as folder:
        _copy_project(Path(folder))
        _run(Path(folder), "smoke" if asked.quick else asked.env, watch, profile)
    watch.enter(_OUTSIDE)
    print(_tables(watch, profile))
    print(f"\n{machine()}")
    return 0


def _copy_project(folder: Path) -> None:
    shutil.copytree(_PROJECT / "conf", folder / "conf")
    shutil.copy(_PROJECT / "pyproject.toml", folder)
    (folder / "src").mkdir()  # Kedro wants one; the code is imported from where it lies


def _run(folder: Path, env: str, watch: Stopwatch, profile: Profile) -> None:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    os.chdir(folder)
    sys.path.insert(0, str(_PROJECT / "src"))
    import ms_pfl.settings

    ms_pfl.settings.HOOKS = (*ms_pfl.settings.HOOKS, profile)
    bootstrap_project(folder)
    _time_parts(watch)
    with KedroSession.create(folder, env=None if env == "base" else env) as session:
        session.run(pipeline_names=["pfl"])


def _time_parts(watch: Stopwatch) -> None:
    from ms_pfl.federation import checkpoints, rounds, strategies
    from ms_pfl.federation.grids.ray import grid, pool, shared_pool
    from ms_pfl.training import resume as unfinished
    from ms_pfl.training import simulation

    watch.time(shared_pool, "worker_pool", "starting the workers")
    watch.time(pool.WorkerPool, "open", "rows to the workers")
    watch.time(pool.WorkerPool, "on_workers", "waiting for the workers")
    watch.time(grid.RayGrid, "_answer", "messages")
    watch.time(strategies.Strict, "configure_train", "messages")
    watch.time(strategies.Strict, "aggregate_train", "averaging")
    watch.time(checkpoints.Checkpoints, "keep", "checkpoints")
    watch.time(unfinished.UnfinishedTraining, "keep", "checkpoints")
    watch.time(simulation, "assemble", "tables of results")
    watch.time(rounds, "_row", "history")
    watch.time(rounds, "_scored", "history")


def _tables(watch: Stopwatch, profile: Profile) -> str:
    from ms_pfl.paradigms import trainings

    paradigms = list(dict.fromkeys(training.paradigm for training in trainings("study")))
    workers = len(os.sched_getaffinity(0))
    total = sum(watch.seconds.values())
    groups: dict[str, float] = defaultdict(float)
    parts: dict[str, dict[str, float]] = {name: defaultdict(float) for name in paradigms}
    for (node, part), seconds in watch.seconds.items():
        paradigm = node.removeprefix("training.").partition(".")[0]
        if paradigm in parts:
            parts[paradigm][part] += seconds
            groups[f"training: {paradigm}"] += seconds
        else:
            groups[node] += seconds
    large = {name: seconds for name, seconds in groups.items() if seconds >= total / 200}
    rows: list[list[object]] = [[n, s, f"{100 * s / total:.1f} %"] for n, s in large.items()]
    small = sum(groups.values()) - sum(large.values())
    rows.append([f"{len(groups) - len(large)} other nodes", small, f"{100 * small / total:.1f} %"])
    rows.append(["all", total, "100 %"])
    run = table(["part of the run", "seconds", "share"], rows)

    names = sorted({part for told in parts.values() for part in told})
    lines: list[list[object]] = [[name, *(parts[p][name] for p in paradigms)] for name in names]
    clients = {p: 0.0 for p in paradigms}
    for node, seconds in profile.clients.items():
        clients[node.removeprefix("training.").partition(".")[0]] += seconds / workers
    lines.append(["(clients)", *clients.values()])
    lines.append(["all", *(sum(parts[p].values()) for p in paradigms)])
    training = table(["seconds of the trainings", *paradigms], lines)
    return f"{run}\n\n{training}"


if __name__ == "__main__":
    raise SystemExit(main())
