"""How a run was made: the TRIPOD+AI items that it can fill in, its configuration, its versions.

TRIPOD+AI: Collins et al., BMJ 385:e078378 (2024). What a run cannot know (title, funding, ethics,
who took part) is left to the authors of a paper.
"""

import json
import platform
from importlib import metadata

import pandas as pd

from ms_pfl.paradigms import paradigms_with, trainings
from ms_pfl.reporting.content import About, Content, Details, Table, Text, note

_PACKAGES = ("ms_pfl", "kedro", "flwr", "ray", "torch", "scikit-learn", "pandas", "numpy", "mlflow")


def tripod(about: About, coverage: pd.DataFrame) -> Content:
    """Show the items that a run can fill in."""
    items = tripod_items(about, coverage)
    return [
        Details(
            "The items that a run can fill in",
            [
                Table(
                    pd.DataFrame(items, columns=["Item", "Asks for", "Here"]), "words last-words"
                ),
                note(
                    "Collins et al., BMJ 385:e078378 (2024). Title, funding, ethics and the like "
                    "are for the authors of a paper."
                ),
            ],
        )
    ]


def tripod_items(about: About, coverage: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Fill in the items.

    Args:
        about: source, countries, configuration and provenance of the run.
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.

    Returns:
        Number of the item, what it asks for, and the answer.
    """
    splits, cohort, comparison, training = (
        about.configuration.get(name, {}) for name in ("splits", "cohort", "comparison", "training")
    )
    federated = trainings("study", paradigm=paradigms_with("global")[0].name)
    strategies = ", ".join(training.strategy for training in federated)
    # a published protocol may part the episodes of a patient (docs/audit.md)
    by_episode = training.get("protocol", {}).get("split_unit") == "episode"
    split_unit = "episode, so patients are on both sides," if by_episode else "patient"
    others = "other episodes, some of the same patients," if by_episode else "other patients"
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in splits.items())
    total = about.countries[["n_patients", "n_episodes", "n_positive"]].sum()
    eligible = (
        f"at least {cohort['minimum_edss']} days with an EDSS in "
        f"{cohort['observation_window_days']} days up to the visit, age from "
        f"{cohort['minimum_age_years']} years, {cohort['minimum_registry_days']} days in the "
        f"registry; the flow below counts each reason"
        if cohort
        else "the table of episodes as it was given"
    )
    tests = (
        f"{coverage['n_episodes'].min():,} to {coverage['n_episodes'].max():,} test episodes "
        f"({coverage['n_positive'].min():,} to {coverage['n_positive'].max():,} with the outcome) "
        f"of {coverage['n_patients'].min():,} to {coverage['n_patients'].max():,} patients"
    )
    return [
        (
            "5a",
            "Source of data",
            about.source["description"],
        ),
        (
            "6b",
            "Eligibility",
            eligible,
        ),
        (
            "8a",
            "Outcome",
            about.source.get("outcome", "the label of the table of episodes"),
        ),
        (
            "9",
            "Predictors",
            "what was known at the visit and nothing later (docs/labels.md)",
        ),
        (
            "10",
            "Sample size",
            f"{total['n_patients']:,} patients, {total['n_episodes']:,} episodes in "
            f"{len(about.countries)} sites, {total['n_positive']:,} with the outcome; "
            "no sample size was calculated",
        ),
        (
            "11",
            "Missing data",
            "EDSS features and dates as recorded; after scaling a missing value stands at "
            "the mean of the training rows, and indicators tell some of them "
            "(docs/labels.md)",
        ),
        (
            "12a",
            "Use of data",
            f"split by {split_unit} within each site, for each seed separately: {shares}",
        ),
        (
            "12c",
            "Models",
            "an MLP, and AdaptiveDualBranchNet; centralized, local, federated "
            f"({strategies}), fine-tuned and adaptive",
        ),
        (
            "12d",
            "Heterogeneity between sites",
            "every measure by site; macro means; gains by site with intervals; sizes and "
            "outcome by site",
        ),
        (
            "12e",
            "Performance measures",
            "ROC-AUC, PR-AUC, Brier score, log-loss, calibration in the large, slope and "
            "curve, net benefit",
        ),
        (
            "12f",
            "Model updating",
            "recalibration by an intercept (and a slope) a site, fitted on validation predictions",
        ),
        (
            "13",
            "Class imbalance",
            "nothing was resampled or weighted; probabilities are those of the models",
        ),
        (
            "14",
            "Fairness",
            "spread over sites, and scores by sex, age, course and treatment where the data"
            " tell them",
        ),
        (
            "16",
            "Difference between development and evaluation data",
            f"{others} of the same sites and years; no external site",
        ),
        (
            "18f",
            "Code and data",
            f"source {about.provenance['code']}, data {about.provenance['data']}",
        ),
        (
            "20a",
            "Participants",
            "the flow from the registry to the episodes, and its table by site",
        ),
        (
            "21",
            "Numbers in evaluation",
            f"{tests} a seed",
        ),
        (
            "23a",
            "Performance",
            f"Tables 1 to 4; 95 % intervals from {comparison.get('replicates', 0):,} draws "
            "of patients within sites",
        ),
        (
            "23b",
            "Heterogeneity of performance",
            "the gains by site, and the table of the spread over sites",
        ),
    ]


def run(about: About) -> Content:
    """Show what it takes to make the run again."""
    data, code = about.provenance["data"], about.provenance["code"]
    settings = json.dumps(about.configuration, indent=2, default=str, ensure_ascii=False)
    versions = "".join(f"{name} {version}\n" for name, version in installed_versions().items())
    return [
        Text(
            f"Data {data}, source {code} (BLAKE2 digests: the same ones mean the same episodes and "
            "the same program)."
        ),
        Details("Configuration", [Text(settings, tag="pre")]),
        Details("Versions", [Text(versions, tag="pre")]),
    ]


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
