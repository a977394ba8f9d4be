"""The studies beside the comparison: what models use, the audit, heterogeneity, new countries."""

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family, Training, learner_of, paradigm_row, trainings
from ms_pfl.pipelines.evaluation.pipeline import NAMESPACE as EVALUATION
from ms_pfl.pipelines.reporting.pipeline import create_report_pipeline
from ms_pfl.pipelines.studies.nodes import (
    compare_countries,
    leave_countries_out,
    measure_audit,
    measure_heterogeneity,
    measure_importance,
    measure_new_countries,
    show_audit,
    show_heterogeneity,
    show_new_countries,
    tabulate_coefficients,
    tabulate_intercepts,
    tabulate_odds_ratios,
    train_heterogeneity,
    variant_trainer,
)
from ms_pfl.pipelines.training.nodes import by_training
from ms_pfl.pipelines.training.pipeline import COMPUTE
from ms_pfl.pipelines.training.pipeline import NAMESPACE as TRAINING
from ms_pfl.studies.attribution.compare import asked
from ms_pfl.studies.protocol_audit.train import VARIANTS

COEFFICIENTS = "coefficients"
"""The section of the report that shows what the logistic regressions say."""
MIXED = Training("adaptive", "logistic")
"""The regression in which each country has an intercept of its own."""


def create_attribution_pipeline() -> Pipeline:
    """Return what the global and the personal models use.

    ::

        episodes, splits, explained_models ──► measure_importance ──► importance
                            attribution_by_country ◄── compare_countries ◄┘
    """
    return Pipeline(
        [
            Node(
                func=by_training(asked()),
                inputs=[f"{training.name}.models" for training in asked()],
                outputs="explained_models",
                name="gather_explained_models",
                namespace=TRAINING,
            ),
            Node(
                func=measure_importance,
                inputs=[
                    "episodes",
                    "splits",
                    "cohort_description",
                    "explained_models",
                    "params:attribution",
                    "params:training",
                    "params:device",
                ],
                outputs="importance",
                name="measure_importance",
                namespace=EVALUATION,
            ),
            Node(
                func=compare_countries,
                inputs="importance",
                outputs="attribution_by_country",
                name="compare_countries",
                namespace=EVALUATION,
            ),
        ]
    )


def create_coefficients_pipeline() -> Pipeline:
    """Return what the logistic regressions say: coefficients, odds ratios, curves, and the report
    again.

    ::

        episodes, splits, shared_regressions ──► tabulate_coefficients ──► coefficients
        episodes, splits, shared_regressions ──► tabulate_odds_ratios ──► odds_ratios, shape_curves
        episodes, splits, mixed_regressions ──► tabulate_intercepts ──► site_intercepts
        odds_ratios, shape_curves, site_intercepts ──► write_report
    """
    tables = ["episodes", "splits"]
    return create_report_pipeline("study", "further", extra=(COEFFICIENTS,)) + Pipeline(
        [
            Node(
                func=by_training(shared_regressions()),
                inputs=[f"{training.name}.models" for training in shared_regressions()],
                outputs="shared_regressions",
                name="gather_shared_regressions",
                namespace=TRAINING,
            ),
            Node(
                func=tabulate_coefficients,
                inputs=[*tables, "shared_regressions", "params:training"],
                outputs="coefficients",
                name="tabulate_coefficients",
                namespace=EVALUATION,
            ),
            Node(
                func=tabulate_odds_ratios,
                inputs=[*tables, "shared_regressions", "params:training"],
                outputs=["odds_ratios", "shape_curves"],
                name="tabulate_odds_ratios",
                namespace=EVALUATION,
            ),
            Node(
                func=by_training([MIXED]),
                inputs=[f"{MIXED.name}.models"],
                outputs="mixed_regressions",
                name="gather_mixed_regressions",
                namespace=TRAINING,
            ),
            Node(
                func=tabulate_intercepts,
                inputs=[*tables, "mixed_regressions", "params:training"],
                outputs="site_intercepts",
                name="tabulate_intercepts",
                namespace=EVALUATION,
            ),
        ]
    )


def shared_regressions() -> list[Training]:
    """Return the logistic regressions that all countries share."""
    return [
        training
        for training in trainings()
        if learner_of(training.strategy) == "logistic"
        and paradigm_row(training.paradigm).role in ("pooled", "global")
    ]


def create_audit_pipeline() -> Pipeline:
    """Train with each published choice, and measure what it is worth.

    ::

        episodes ──► train_<variant> ──► audit.<variant>.predictions ──► measure_audit ──► audit
                          audit_table, audit_page, figure_audit ◄── show_audit ◄─────────────┘
    """
    inputs = {"episodes": "episodes", "unfinished": "unfinished"}
    settings = COMPUTE | {
        "settings": "params:training",
        "seeds": "params:seeds",
        "fractions": "params:splits",
    }
    trainings = Pipeline(
        [
            Node(
                func=variant_trainer(variant),
                inputs=inputs | settings,
                outputs=f"{variant}.predictions",
                name=f"train_{variant}",
            )
            for variant in VARIANTS
        ],
        namespace="audit",
        inputs=inputs,
        parameters={name: name for name in settings.values()},
    )
    return trainings + Pipeline(
        [
            Node(
                func=measure_audit,
                inputs={"parameters": "params:audit"}
                | {variant: f"audit.{variant}.predictions" for variant in VARIANTS},
                outputs="audit",
                name="measure_audit",
            ),
            Node(
                func=show_audit,
                inputs=["audit", "cohort_description"],
                outputs=["audit_table", "audit_page", "figure_audit"],
                name="show_audit",
            ),
        ]
    )


def create_heterogeneity_pipeline() -> Pipeline:
    """Return what does personalization gain where countries differ more?

    ::

        params:synthetic_registry ──► train_heterogeneity ──► heterogeneity_scores
        heterogeneity_scores ──► measure_heterogeneity ──► heterogeneity_gains
        heterogeneity_table, figure_heterogeneity ◄── show_heterogeneity ◄┘
    """
    return Pipeline(
        [
            Node(
                func=train_heterogeneity,
                inputs={
                    "registry": "params:synthetic_registry",
                    "study": "params:heterogeneity_study",
                    "cohort": "params:cohort",
                    "fractions": "params:splits",
                    "seeds": "params:seeds",
                    "settings": "params:training",
                    "unfinished": "unfinished",
                }
                | COMPUTE,
                outputs="heterogeneity_scores",
                name="train_heterogeneity",
            ),
            Node(
                func=measure_heterogeneity,
                inputs="heterogeneity_scores",
                outputs="heterogeneity_gains",
                name="measure_heterogeneity",
            ),
            Node(
                func=show_heterogeneity,
                inputs="heterogeneity_gains",
                outputs=["heterogeneity_table", "figure_heterogeneity"],
                name="show_heterogeneity",
            ),
        ]
    )


def create_new_country_pipeline(*families: Family) -> Pipeline:
    """How well is a country served that never took part, and what do its own patients add?

    Args:
        families: of the trainings that may be repeated without a country, and of the report.

    ::

        episodes, splits ──► leave_countries_out ──► new_country_predictions
        new_country_predictions, test_predictions (of a pfl run) ──► measure_new_countries
        measure_new_countries ──► new_country_estimates, new_country_differences
        new_country_estimates, new_country_differences ──► figure, table, and the report again
    """
    federated = trainings(*families, paradigm="federated")
    tables = ["new_country_estimates", "new_country_differences"]
    return create_report_pipeline(*families, extra=("unseen_site",)) + Pipeline(
        [
            Node(
                func=leave_countries_out,
                inputs={name: name for name in ("episodes", "splits", "unfinished")}
                | {"new_country": "params:new_country", "settings": "params:training"}
                | COMPUTE
                | {training.argument: f"{training.name}.models" for training in federated},
                outputs="new_country_predictions",
                name="leave_countries_out",
            ),
            Node(
                func=measure_new_countries,
                inputs=["new_country_predictions", "test_predictions", "params:comparison"],
                outputs=tables,
                name="measure_new_countries",
            ),
            Node(
                func=show_new_countries,
                inputs=[*tables, "cohort_description", "params:comparison"],
                outputs="new_country_table",
                name="show_new_countries",
            ),
        ]
    )
