"""What ``predictor.json`` says: which trainings serve which country, and how they were made."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.config import Section
from ms_pfl.evaluation.choice import Choice
from ms_pfl.evaluation.recalibration import ALL
from ms_pfl.paradigms import Training, trainings
from ms_pfl.prediction.parameters import MOST_DRAWS
from ms_pfl.training.resampling import can_be_refitted
from ms_pfl.training.settings import TrainingSettings

FORMAT: Literal[4] = 4
SHARED = "global"
"""The part of the arrays that serves countries that did not train."""


class Description(Section):
    """What ``predictor.json`` holds, without the digests of the two files."""

    format: Literal[4] = Field(description="of this file; another one is refused")
    package_version: str = Field(description="of ms_pfl, when it was made")
    prediction: Choice = Field(description="what serves which country, and why")
    settings: TrainingSettings = Field(description="of the trainings: network, protocol")
    seeds: tuple[int, ...] = Field(min_length=1)
    countries: tuple[str, ...] = Field(min_length=1, description="that trained")
    features: tuple[str, ...] = Field(min_length=1, description="in the order of the network")
    vocabulary: Vocabulary | None = Field(description="of a custom table, else null")
    cohort: CohortParameters | None = Field(
        description="how features are built from a registry; null: they are not"
    )
    treatment_recorded_since: dict[str, int] = Field(
        description="by country a year by whose end it recorded treatment"
    )
    intercepts: dict[int, dict[str, float]] = Field(
        description="by seed and country, added to the log-odds; of the global model under ''; 0 "
        "but for recalibrated models"
    )
    validation_episodes: dict[str, int] = Field(
        description="by country, of the first seed: what its intercept was fitted on"
    )
    bootstrap_patients: int = Field(
        ge=0,
        le=MOST_DRAWS,
        description="draws of training patients that logistic regressions and trees were "
        "refitted to; 0: none, and the range of a risk is that of its seeds",
    )
    source: dict[str, str] = Field(description="what the models were trained on: kind, description")
    source_digest: str = Field(description="of the code that made it")
    data_digest: str = Field(description="of the episodes that it was trained on")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        of_seeds, names = self.intercepts.values(), {ALL, *self.countries}
        choice = self.prediction
        weights = [own for of_seed in choice.weights.values() for own in of_seed.values()]
        sums = [sum(own) for own in weights if len(own) == len(choice.members)]
        finite = all(np.isfinite(list(of_seed.values())).all() for of_seed in of_seeds)
        wrong = {
            "one draw of patients has no spread": self.bootstrap_patients == 1,
            "a feature is named twice": len(set(self.features)) < len(self.features),
            "the intercepts are not those of the seeds": set(self.intercepts) != set(self.seeds),
            "the intercepts are not those of the countries": any(
                set(of_seed) != names for of_seed in of_seeds
            ),
            "an intercept is not finite": not finite,
            "the weights are not those of the seeds": set(choice.weights) != set(self.seeds),
            "there are no weights for countries without validation patients": any(
                ALL not in of_seed for of_seed in choice.weights.values()
            ),
            "the weights of the members do not add up to 1": len(sums) < len(weights)
            or not np.allclose(sums, 1)
            or any(min(own) < 0 for own in weights),
            "a member is no training": any(
                training_of(name) not in trainings() for name in (*choice.members, choice.shared)
            ),
        }
        for problem, found in wrong.items():
            if found:
                raise ValueError(problem)
        return self


def training_of(name: str) -> Training:
    """Return a training by its name, such as ``federated.fedavg``."""
    paradigm, _, strategy = name.partition(".")
    return Training(paradigm, strategy)


def refitted(choice: Choice) -> list[Training]:
    """Return the trainings of a choice that can be refitted to draws of patients."""
    names = dict.fromkeys((*choice.members, choice.shared))
    return [training for training in map(training_of, names) if can_be_refitted(training)]


def part_of_draw(number: int, training: Training) -> str:
    """Return the part of the arrays that a training has from a draw of patients."""
    return f"bootstrap={number}/{training.name}"


def parts(choice: Choice) -> dict[str, str]:
    """Return the parts of the arrays of a predictor, and the training of each."""
    own = {f"personal{f'.{i}' if i else ''}": name for i, name in enumerate(choice.members)}
    return own | {SHARED: choice.shared}
