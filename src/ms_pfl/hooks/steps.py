"""Which pipeline a user runs to make some files again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable


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
    unsuited = {"pfl", "modelling", "audit", other}
    return next((name for name in steps_that_make(wanted) if name not in unsuited), whole)


def steps_that_make(datasets: Collection[str]) -> list[str]:
    """Return the pipelines that make all of some datasets, the shortest first.

    Those that hold all steps of a shorter one are left out.
    """
    from ms_pfl.pipeline_registry import register_pipelines

    makers = {
        pipeline: {node.name for node in nodes.nodes}
        for pipeline, nodes in register_pipelines().items()
        if pipeline != "__default__" and nodes.all_outputs().issuperset(datasets)
    }
    return sorted(
        (name for name, steps in makers.items() if not any(o < steps for o in makers.values())),
        key=lambda name: (len(makers[name]), name),
    )


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
