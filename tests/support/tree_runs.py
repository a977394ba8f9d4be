"""Messages of a run that grows boosted trees, with trees grown on made-up rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ms_pfl.deployment.agreement import RunAgreement, Stage
from ms_pfl.federation.flower import Message
from ms_pfl.learning import trees
from ms_pfl.learning.parameters import MOST_BINS, TreesParameters
from ms_pfl.learning.tree_sites import TreeSite
from ms_pfl.learning.tree_steps import steps
from ms_pfl.learning.trees import Model
from ms_pfl.personalization.method import SHARED
from run_examples import input_sums, message

_LARGEST = np.finfo(np.float32).max


def bins_of(n: int) -> dict[str, np.ndarray]:
    """Inputs of trees: four bins of each feature."""
    cuts = np.full((n, MOST_BINS - 1), _LARGEST, np.float32)
    cuts[:, :3] = [1, 2, 3]
    return {"cuts": cuts, "medians": np.full(n, 2, np.float32)}


def binned_inputs(agreement: RunAgreement, seed: int, n: int) -> Iterator[Message]:
    """The questions from whose answers bins follow."""
    yield input_sums(agreement, seed, "first-cells")
    edges = np.linspace(-1, 1, 511, dtype=np.float32)
    yield input_sums(agreement, seed, "second-cells", {"edges": np.tile(edges, (n, 1))})


def histograms(agreement: RunAgreement, seed: int, question: Model) -> Message:
    config = {"question": "histograms", "seed": seed, "sites": len(agreement.sites)}
    return message("query.sums", config, {SHARED: dict(question)})


def grown(stage: Stage, seed: int, n: int) -> list[tuple[str, Model]]:
    """The questions of a fit and the models that it comes to, in order."""
    told = stage.settings.trees
    assert told is not None
    return _grown(told.model_dump_json(), seed, n)


@lru_cache(maxsize=32)
def _grown(told: str, seed: int, n: int) -> list[tuple[str, Model]]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 5, size=(200, n)).astype(np.float32)
    y = (codes[:, 0] + rng.normal(size=200) > 2.5).astype(np.float32)
    settings = TreesParameters.model_validate_json(told)
    site = TreeSite(codes, y, settings)
    found: list[tuple[str, Model]] = []

    def of(question: Model) -> np.ndarray:
        found.append(("question", question))
        return site.histogram(question)

    for model in steps(of, site.labels, n, settings, seed):
        found.append(("model", model))
    return found


def tree_messages(agreement: RunAgreement, stage: Stage, seed: int, n: int) -> Iterator[Message]:
    """Labels, levels and looks of a stage, up to the predictions."""
    told = stage.settings.trees
    assert told is not None
    yield input_sums(agreement, seed, "labels")
    for kind, model in grown(stage, seed, n):
        number = trees.count(model)
        if kind == "question":
            yield histograms(agreement, seed, model)
        elif number and (number % told.evaluate_every == 0 or number == told.trees):
            yield look(model)
    config = {"best-round": number, "keep-as": stage.training}
    yield message("query.predict", config, {SHARED: model})


def look(model: Model) -> Message:
    """The question how good some trees are."""
    return message("evaluate", {"server-round": trees.count(model)}, {SHARED: dict(model)})


def last_model(stage: Stage, seed: int, n: int) -> Model:
    """What the trees of a stage come to."""
    return grown(stage, seed, n)[-1][1]
