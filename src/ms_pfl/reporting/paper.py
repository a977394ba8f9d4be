"""What a paper needs of a run: a methods paragraph, a model card, and how to cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ms_pfl.names import listed
from ms_pfl.paradigms import LearnerName, learner_of, models_in_order, paradigm_name, strategy_name
from ms_pfl.reporting.content import About, Content, Details, Table, Text, note
from ms_pfl.reporting.made import installed_versions

_STUDY = (
    "Pirmani A, et al. Personalized federated learning for predicting disability progression in "
    "multiple sclerosis using real-world routine clinical data. npj Digital Medicine 8:478 (2025)."
)
_LEARNERS: Mapping[LearnerName, str] = {
    "network": "neural networks",
    "logistic": "logistic regression fitted by Newton's method",
    "trees": "gradient-boosted trees grown from summed histograms",
}


def paper(about: About, summary: pd.DataFrame, coverage: pd.DataFrame) -> Content:
    """Show the paragraph, the card and the citation, filled from the run."""
    return [
        Details(
            "Methods paragraph",
            [
                Text(methods_paragraph(about, summary, coverage)),
                note(
                    "Filled from the configuration of this run: check it, and cite what it names."
                ),
            ],
        ),
        Details(
            "Model card",
            [
                Table(
                    pd.DataFrame(model_card(about, summary, coverage), columns=["Part", "Content"]),
                    "words last-words",
                ),
                note("After Mitchell et al., Model Cards for Model Reporting, FAT* 2019."),
            ],
        ),
        Details(
            "How to cite",
            [
                Text(f"The software: ms_pfl {installed_versions()['ms_pfl']} (CITATION.cff)."),
                Text(f"The study whose comparison it implements: {_STUDY}"),
            ],
        ),
    ]


def methods_paragraph(about: About, summary: pd.DataFrame, coverage: pd.DataFrame) -> str:
    """Return what was done in the words of a methods section.

    Args:
        about: source, countries and configuration of the run.
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.
    """
    told = about.configuration
    training, comparison = told.get("training", {}), told.get("comparison", {})
    total = about.countries[["n_patients", "n_episodes", "n_positive"]].sum()
    models = models_in_order(summary)
    paradigms = list(dict.fromkeys(paradigm_name(paradigm).lower() for paradigm, _ in models))
    learners = list(dict.fromkeys(learner_of(strategy) for _, strategy in models))
    strategies = [
        strategy_name(s) for p, s in models if p == "federated" and learner_of(s) == "network"
    ]
    shares = [f"{100 * share:.0f} % {name}" for name, share in told.get("splits", {}).items()]
    unit = "episode" if training.get("protocol", {}).get("split_unit") == "episode" else "patient"
    n = len(coverage)
    lines = [
        f"The data were {total['n_episodes']:,} episodes of {total['n_patients']:,} patients from "
        f"{len(about.countries)} {about.sites} ({about.source['description']}); "
        f"{total['n_positive']:,} episodes "
        f"({100 * total['n_positive'] / total['n_episodes']:.1f} %) had the outcome.",
        f"Within each {about.site}, data were split by {unit}"
        + (f" ({', '.join(shares)})" if shares else "")
        + (f", {n} times with different seeds." if n > 1 else "."),
        f"Models were {listed([_LEARNERS[name] for name in learners])}"
        + (f" (networks: {_network(training)})" if "network" in learners else "")
        + f", compared as {listed(paradigms)} models"
        + (f"; networks were aggregated by {listed(strategies)}." if strategies else "."),
        "Training rounds, numbers of trees and strengths of penalties were selected on validation "
        "patients by log-loss or ROC-AUC; test patients were scored once."
        if training.get("protocol", {}).get("selection") != "test"
        else "Rounds were selected on test patients, as in the published protocol.",
        f"Uncertainty was quantified by a patient-level cluster bootstrap stratified by "
        f"{about.site} ({comparison.get('replicates', 0):,} replicates), paired between models. "
        + _inference(comparison),
        f"Analyses used ms_pfl {installed_versions()['ms_pfl']} "
        f"(source {about.provenance['code']}).",
    ]
    return " ".join(lines)


def _network(training: Mapping[str, Any]) -> str:
    network, optimizer = training.get("network", {}), training.get("optimizer", {})
    return (
        f"{network.get('hidden_layers')} hidden layers of {network.get('width')} units, dropout "
        f"{network.get('dropout')}, {str(optimizer.get('kind', '')).capitalize()} with learning "
        f"rate {optimizer.get('learning_rate'):g} and batches of {optimizer.get('batch_size')}, at "
        f"most {training.get('federation', {}).get('rounds')} rounds"
        if network and optimizer
        else "see the configuration"
    )


def _inference(comparison: Mapping[str, Any]) -> str:
    primary, margin = comparison.get("primary"), comparison.get("margin")
    text = (
        "Primary comparisons were named beforehand and have simultaneous (max-t) intervals; all "
        "others are exploratory, adjusted by Holm's method."
        if primary
        else "All comparisons are exploratory, adjusted by Holm's method."
    )
    if margin:
        within = ", ".join(f"{value:g} of {name}" for name, value in margin.items())
        text += f" Models whose difference lies within the margin ({within}) count as equivalent."
    return text


def model_card(
    about: About, summary: pd.DataFrame, coverage: pd.DataFrame
) -> list[tuple[str, str]]:
    """Return the parts of a model card, each with what the run knows of it.

    Args:
        about: source, countries and configuration of the run.
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.
    """
    total = about.countries[["n_patients", "n_episodes", "n_positive"]].sum()
    synthetic = about.source.get("kind") == "synthetic"
    roc = summary[(summary["metric"] == "roc_auc") & (summary["scope"] == "pooled")]["mean"]
    return [
        (
            "Model",
            f"risk of the outcome from {len(models_in_order(summary))} trainings of "
            f"{listed([_LEARNERS[name] for name in _learners(summary)])}; the predictor of the run "
            "(docs/prediction.md) holds the one that validation prefers",
        ),
        (
            "Intended use",
            f"research: comparing how {about.sites} can learn together, and risks of patients like "
            "those it was trained on, at a visit",
        ),
        (
            "Not for",
            "decisions about single patients: it is no medical device, and was not evaluated "
            "prospectively" + ("; it was trained on people who do not exist" if synthetic else ""),
        ),
        ("Outcome", about.source.get("outcome", "the label of the table of episodes")),
        (
            "Data",
            f"{about.source['description']}: {total['n_patients']:,} patients, "
            f"{total['n_episodes']:,} episodes, {total['n_positive']:,} with the outcome, "
            f"{len(about.countries)} {about.sites}",
        ),
        (
            "Evaluation",
            f"{coverage['n_patients'].min():,} to {coverage['n_patients'].max():,} other patients "
            f"of the same {about.sites} for each of {len(coverage)} seeds; pooled ROC-AUC "
            f"{roc.min():.3f} to {roc.max():.3f} over all trainings (Table 1)",
        ),
        (
            "Groups",
            f"by {about.site}, sex, age, course and treatment, where the data hold them",
        ),
        (
            "Limits",
            f"{about.sites} that did not take part may differ (a further {about.site}); labels are "
            "those of the registry's visits; what a model looks at is no cause",
        ),
    ]


def _learners(summary: pd.DataFrame) -> list[LearnerName]:
    return list(dict.fromkeys(learner_of(strategy) for _, strategy in models_in_order(summary)))
