"""Reporting guidelines beside TRIPOD+AI: what a run can fill in of TRIPOD-Cluster and PROBAST+AI.

TRIPOD-Cluster: Debray et al., BMJ 380:e071018 (2023). PROBAST+AI: Moons et al., BMJ 388:e082505
(2025). Items are paraphrased; those that a run cannot know are left to the authors of a paper.
"""

from __future__ import annotations

import pandas as pd

from ms_pfl.reporting.content import About, Content, Details, Table, note


def checklists(about: About, coverage: pd.DataFrame) -> Content:
    """Show both lists, folded."""
    return [
        Details(
            "TRIPOD-Cluster: the items that a run can fill in",
            [
                Table(
                    pd.DataFrame(cluster_items(about, coverage), columns=["Item", "Topic", "Here"]),
                    "words last-words",
                ),
                note(f"Debray et al., BMJ 380:e071018 (2023). Clusters: the {about.sites}."),
            ],
        ),
        Details(
            "PROBAST+AI: facts for whoever assesses quality and risk of bias",
            [
                Table(
                    pd.DataFrame(probast_facts(about), columns=["Domain", "Question", "Here"]),
                    "words last-words",
                ),
                note(
                    "Moons et al., BMJ 388:e082505 (2025). The judgement is the assessor's: these "
                    "are the facts that the run knows."
                ),
            ],
        ),
    ]


def cluster_items(about: About, coverage: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return number, topic and answer of the TRIPOD-Cluster items that a run can fill in.

    Args:
        about: source, countries and configuration of the run.
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.
    """
    total = about.countries[["n_patients", "n_episodes", "n_positive"]].sum()
    site, sites = about.site, about.sites
    single = int(coverage["n_single_class"].max())
    return [
        (
            "4a",
            "Eligibility of participants and datasets",
            "the participant flow below counts each reason",
        ),
        ("4b", "Origin of the data", about.source["description"]),
        (
            "5",
            "Sample size",
            f"all eligible patients: {total['n_patients']:,} in {len(about.countries)} {sites}, "
            f"{about.countries['n_patients'].min():,} to {about.countries['n_patients'].max():,} "
            f"per {site}; none was calculated",
        ),
        ("6a", "Outcome", about.source.get("outcome", "the label of the table of episodes")),
        ("6b", "Predictors", "what was known at the visit and nothing later (docs/labels.md)"),
        (
            "7a",
            "Preparation and harmonization",
            "one contract for all tables; every reading that is not literal is counted "
            "(docs/ingest.md)",
        ),
        (
            "7d",
            "Missing data",
            "no row is dropped for a missing predictor; how each learner reads it: docs/inputs.md",
        ),
        (
            "8b",
            "Type of model, building, internal validation",
            f"see the methods paragraph; patients of every {site} are held out for testing",
        ),
        (
            "8c",
            "Heterogeneity of model parameters",
            f"personalized paradigms let parameters differ by {site}; they are compared with "
            "models that do not",
        ),
        (
            "8e",
            "Measures of performance",
            "ROC-AUC, PR-AUC, Brier score, log-loss, calibration, net benefit",
        ),
        (
            "8f",
            "Heterogeneity of performance",
            f"every measure by {site}; spread over {sites}; what to expect in a further {site}",
        ),
        ("8g", "Model updating", f"recalibration by {site}, on validation predictions"),
        (
            "10a",
            "Numbers of clusters and participants",
            f"{len(about.countries)} {sites}; in the test split of a seed "
            f"{coverage['n_countries'].min()} to {coverage['n_countries'].max()}, of which up to "
            f"{single} have one class only",
        ),
        ("10b", "Characteristics by cluster", f"table and figure of the {sites}; flow by {site}"),
        (
            "12b",
            "The final model",
            "the predictor (docs/prediction.md); odds ratios where logistic regression was run",
        ),
        ("13a", "Performance overall and by cluster", f"Tables 1 and 3, and the table by {site}"),
        (
            "13b",
            "Heterogeneity of performance",
            f"gains by {site} with intervals; performance across {sites}",
        ),
        ("14", "Results of updating", "recalibrated models, Tables 2 and 3"),
    ]


def probast_facts(about: About) -> list[tuple[str, str, str]]:
    """Return domain, question and fact for an assessment by PROBAST+AI.

    Args:
        about: source, countries and configuration of the run.
    """
    protocol = about.configuration.get("training", {}).get("protocol", {})
    by_episode = protocol.get("split_unit") == "episode"
    on_test = protocol.get("selection") == "test"
    total = about.countries[["n_episodes", "n_positive"]].sum()
    return [
        ("Participants and data sources", "Source", about.source["description"]),
        (
            "Participants and data sources",
            "Inclusion",
            "rules of the configuration, alike for all; see the participant flow",
        ),
        (
            "Predictors",
            "Available when the model is used",
            "only what was recorded up to the visit",
        ),
        (
            "Predictors",
            "Defined alike for all",
            f"one contract; raters and schedules of {about.sites} still differ",
        ),
        (
            "Outcome",
            "Definition",
            about.source.get("outcome", "the label of the table of episodes"),
        ),
        (
            "Outcome",
            "Without knowledge of predictors",
            "no: EDSS is both a predictor at the visit and the outcome later",
        ),
        (
            "Analysis",
            "Number with the outcome",
            f"{total['n_positive']:,} of {total['n_episodes']:,} episodes",
        ),
        (
            "Analysis",
            "Data leakage",
            "patients on both sides of the split (published protocol)"
            if by_episode
            else "none: no patient is on both sides of the split",
        ),
        (
            "Analysis",
            "Selection",
            "on test patients (published protocol)"
            if on_test
            else "on validation patients; test patients are scored once",
        ),
        ("Analysis", "Missing data", "kept, as predictors see them; no complete-case analysis"),
        ("Analysis", "Class imbalance", "not resampled: risks are those of the population"),
        ("Analysis", "Calibration and discrimination", "both, overall and by site, with intervals"),
        (
            "Analysis",
            "Evaluation on other sites",
            f"a further {about.site} by random effects; leaving {about.sites} out by its own "
            "pipeline",
        ),
    ]
