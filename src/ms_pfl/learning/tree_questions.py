"""Questions about growing trees: what the answer is like, and the question before it."""

from __future__ import annotations

import numpy as np

from ms_pfl.learning import trees
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_growth import asked_about
from ms_pfl.learning.tree_steps import COLUMNS, draw
from ms_pfl.learning.trees import FEATURE, SPLITS, VALUE, Model


def level_of(question: Model) -> int:
    """Return the level of the last tree that a question is about."""
    return asked_about(question[FEATURE][-1])[0]


def histogram_shape(question: Model, settings: TreesParameters) -> tuple[int, int, int, int]:
    """Return the shape of the answer: nodes, features, bins with that of missing values, sums."""
    _, nodes = asked_about(question[FEATURE][-1])
    return len(nodes), len(question[COLUMNS]), settings.bins + 1, 2


def last_question(
    model: Model, n_features: int, settings: TreesParameters, seed: int
) -> dict[str, np.ndarray]:
    """Return the question after whose answer a model was complete."""
    split = model[FEATURE][-1] >= 0
    level = 0
    while level + 1 < trees.depth_of(model) and split[2**level - 1 : 2 ** (level + 1) - 1].any():
        level += 1
    return _about(model, level, n_features, settings, seed)


def question_before(
    question: Model, n_features: int, settings: TreesParameters, seed: int
) -> dict[str, np.ndarray] | None:
    """Return the question whose answer a question follows; None: it is the first of a fit.

    Args:
        question: about a level of a tree.
        n_features: of the rows.
        settings: of the trees.
        seed: of the fit, by which features are drawn.
    """
    model = {name: question[name] for name in trees.TYPES}
    if level := level_of(question):
        return _about(model, level - 1, n_features, settings, seed)
    before = trees.first(model, trees.count(model) - 1)
    return last_question(before, n_features, settings, seed) if trees.count(before) else None


def _about(
    model: Model, level: int, n_features: int, settings: TreesParameters, seed: int
) -> dict[str, np.ndarray]:
    """Return the question about a level of the last tree of a model."""
    found = {name: array.copy() for name, array in model.items()}
    empty = trees.start(trees.depth_of(model), number=1)
    for name in SPLITS:
        found[name][-1, 2**level - 1 :] = empty[name][0, 2**level - 1 :]
    found[VALUE][-1] = 0.0
    return {**found, COLUMNS: draw(n_features, settings, seed, trees.count(model) - 1)}
