"""The pipelines that `kedro run` knows by name, and which of them makes a file again."""

from collections.abc import Callable, Collection, Iterable

from kedro.pipeline import Pipeline

from ms_pfl.paradigms import Family, trainings
from ms_pfl.pipelines.cohort import pipeline as cohort
from ms_pfl.pipelines.evaluation import pipeline as evaluation
from ms_pfl.pipelines.prediction import pipeline as prediction
from ms_pfl.pipelines.reporting import pipeline as reporting
from ms_pfl.pipelines.studies import pipeline as studies
from ms_pfl.pipelines.training import pipeline as training


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline; ``pfl``, the main job, is the default.

    Explicit, because Kedro's ``find_pipelines`` imports only the sub-package that was asked for,
    which breaks pipelines composed of others.
    """
    synthetic_registry = cohort.create_synthetic_registry_pipeline()
    preprocessing = cohort.create_preprocessing_pipeline()
    registry = synthetic_registry + preprocessing
    own_episodes = cohort.create_own_data_pipeline() + cohort.create_partition_pipeline()
    pfl = registry + _after_cohort("study")
    return {
        "__default__": pfl,
        "pfl": pfl,
        "further_methods": registry
        + _after_cohort("study", "further", extra=(studies.COEFFICIENTS,))
        + studies.create_coefficients_pipeline(),
        "modelling": own_episodes + _after_cohort("study"),
        "synthetic_registry": synthetic_registry,
        "preprocessing": preprocessing,
        "own_data": own_episodes,
        "check_tables": cohort.create_check_pipeline(),
        "audit": registry + studies.create_audit_pipeline(),
        "heterogeneity": studies.create_heterogeneity_pipeline(),
        "new_country": studies.create_new_country_pipeline("study"),
        "new_country_further": studies.create_new_country_pipeline("study", "further"),
        "training": training.create_pipeline("study"),
        **{
            paradigm: training.create_paradigm_pipeline(paradigm, "study")
            for paradigm in dict.fromkeys(one.paradigm for one in trainings("study"))
        },
        "predictor": prediction.create_predictor_pipeline("study"),
        "prediction": prediction.create_pipeline(),
        "evaluation": evaluation.create_pipeline("study"),
        "attribution": studies.create_attribution_pipeline(),
        "coefficients": studies.create_coefficients_pipeline(),
        "reporting": reporting.create_pipeline("study"),
        "recording": reporting.create_recording_pipeline("study"),
    }


def _after_cohort(*families: Family, extra: tuple[str, ...] = ()) -> Pipeline:
    """From episodes and splits to the report, which shows some extra sections."""
    return (
        training.create_pipeline(*families)
        + prediction.create_predictor_pipeline(*families)
        + evaluation.create_pipeline(*families)
        + studies.create_attribution_pipeline()
        + reporting.create_pipeline(*families, extra=extra)
    )


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
    pipelines = register_pipelines()
    whole, other = ("modelling", "preprocessing") if from_custom_table else ("pfl", "own_data")
    inputs_of = {
        output: node.inputs
        for node in pipelines["new_country"].nodes + pipelines[whole].nodes
        for output in node.outputs
    }
    wanted = _stale_and_above(datasets, is_stale, inputs_of)
    unsuited = {"pfl", "modelling", "audit", "heterogeneity", other}
    return next((name for name in steps_that_make(wanted) if name not in unsuited), whole)


def steps_that_make(datasets: Collection[str]) -> list[str]:
    """Return the pipelines that make all of some datasets, the shortest first.

    Those that hold all steps of a shorter one are left out.
    """
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
