"""Train the same models on each registry of the study, and score them on its test patients."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.parameters import CohortParameters, SplitFractions
from ms_pfl.cohort.splits import split_patients
from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.federation.history import ProgressReport
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.registry.synthetic.simulation import simulate
from ms_pfl.studies.heterogeneity.registries import Registry
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Compute, train_tables

#: The model that the others are compared with, then these; all fit the network.
TRAININGS = (
    Training("federated", "fedavg"),
    Training("fine_tuned", "fedavg"),
    Training("adaptive", "fedavg"),
    Training("local", "none"),
)
SCOPES = ("pooled", "macro", "weighted")
COLUMNS = (
    "way", "knob", "data_seed", "paradigm", "strategy", "scope", "roc_auc", "n_countries",
)  # fmt: skip
Follow = Callable[[Registry, Training], AbstractContextManager[Callable[[ProgressReport], None]]]


def train_registries(
    registries: Iterable[Registry],
    cohort: CohortParameters,
    fractions: SplitFractions,
    seed: int,
    settings: TrainingSettings,
    compute: Compute,
    follow: Follow,
) -> pd.DataFrame:
    """Simulate, label, split, train and score each registry.

    Args:
        registries: of the study.
        cohort: how episodes are made.
        fractions: shares of each country's patients.
        seed: of the split and of the initial values, the same for all registries.
        settings: of the trainings.
        compute: where and how.
        follow: from a registry and a training to what is told where it is.

    Returns:
        A row per registry, model and scope (pooled, macro, weighted): way, knob, data_seed,
        paradigm, strategy, scope, roc_auc (of test episodes), n_countries (behind a mean over
        countries).
    """
    tables = []
    for registry in registries:
        episodes = build_episodes(simulate(registry.parameters), cohort).episodes
        splits = split_patients(episodes, (seed,), fractions)
        models: dict[Training, dict[str, np.ndarray]] = {}
        predictions = []
        for training in TRAININGS:
            start = Training(str(PARADIGMS[training.paradigm].starts_from), training.strategy)
            with follow(registry, training) as report:
                done = train_tables(
                    training, episodes, splits, settings, compute, report, models.get(start)
                )
            models[training] = done.models
            predictions.append(done.predictions)
        scores = _scores(pd.concat(predictions, ignore_index=True))
        tables.append(
            scores.assign(way=registry.way, knob=registry.knob, data_seed=registry.parameters.seed)
        )
    table = pd.concat(tables, ignore_index=True)
    return table.astype({"way": "str"})[list(COLUMNS)]


def _scores(predictions: pd.DataFrame) -> pd.DataFrame:
    test = predictions[predictions["split"] == "test"].sort_values("country", kind="stable")
    estimates = evaluate(
        test, ("pooled", "country"), draw_patients(test, 0, 0), metrics=[METRICS["roc_auc"]]
    )
    observed = estimates.observed()
    kept = observed[observed["scope"].isin(SCOPES)]
    return kept.rename(columns={"value": "roc_auc"}).reset_index(drop=True)
