"""Which pipeline a user runs to make some files again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_WHOLE = ("pfl", "modelling")


def step_to_run(
    datasets: Iterable[str], is_stale: Callable[[str], bool], *, from_custom_table: bool
) -> str:
    """Return the name of the smallest pipeline after which some datasets are up to date.

    Args:
        datasets: their names.
        is_stale: whether a dataset is absent, or not what the present files and settings give.
        from_custom_table: whether the episodes come from a custom table, not from a registry.

    Returns:
        The name of one step where one is enough, such as ``evaluation`` or ``training``, else of
        the whole job.
    """
    from ms_pfl.pipeline_registry import register_pipelines

    pipelines = register_pipelines()
    whole, other = ("modelling", "preprocessing") if from_custom_table else ("pfl", "own_data")
    inputs_of = {
        output: node.inputs
        for node in pipelines["new_country"].nodes + pipelines[whole].nodes
        for output in node.outputs
    }
    wanted = _stale_and_above(datasets, is_stale, inputs_of)
    steps = set(pipelines) - {"__default__", *_WHOLE, "audit", other}
    for name in sorted(steps, key=lambda name: (len(pipelines[name].nodes), name)):
        if wanted <= pipelines[name].all_outputs():
            return name
    return whole


def _stale_and_above(
    datasets: Iterable[str],
    is_stale: Callable[[str], bool],
    inputs_of: dict[str, list[str]],
) -> set[str]:
    """Return the stale ones of some datasets and of all that these are made from."""
    found: set[str] = set()
    waiting = list(datasets)
    while waiting:
        name = waiting.pop()
        if name not in found and is_stale(name):
            found.add(name)
            waiting += inputs_of.get(name, [])
    return found
