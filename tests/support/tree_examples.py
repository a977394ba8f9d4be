"""Rows and settings of boosted trees, and a tree worked out in fractions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ms_pfl.learning import trees
from ms_pfl.learning.bins import Bins
from ms_pfl.learning.encoding import first_counts, second_counts, second_edges
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_growth import Growth
from ms_pfl.learning.tree_sites import TreeSite

BINS = 4
Site = tuple[NDArray[np.float32], NDArray[np.float32]]


def told(**changes: object) -> TreesParameters:
    """Settings for a few rows, unless told otherwise."""
    small = {"trees": 5, "bins": BINS, "l2": 0.5, "least_hessian": 0.2, "columns": 1.0}
    personal = {"personal_l2": 1.0, "personal_least_hessian": 0.2, "own_trees": 4}
    return TreesParameters.model_validate(small | personal | changes)


def bins_of(parts: list[np.ndarray], bins: int = 32) -> Bins:
    """The bins that sites with these rows agree on."""
    edges = second_edges(sum(first_counts(part) for part in parts))
    return Bins.of(edges, sum(second_counts(part, edges) for part in parts), bins)


@st.composite
def sites(draw: st.DrawFn, most: int = 5, features: int = 3, bins: int = BINS) -> list[Site]:
    """Codes and labels of some sites: of one row, of one class, without a feature, none at all."""
    found = []
    for _ in range(draw(st.integers(1, most))):
        rows = draw(st.integers(0, 12))
        codes = draw(arrays(np.float32, (rows, features), elements=st.integers(0, bins)))
        y = draw(arrays(np.float32, rows, elements=st.integers(0, 1)))
        if draw(st.booleans()):
            y[:] = draw(st.integers(0, 1))
        if draw(st.booleans()):
            codes[:, draw(st.integers(0, features - 1))] = 0
        found.append((codes, y))
    return found


def pooled(parts: Sequence[Site]) -> Site:
    """The rows of all sites."""
    return np.concatenate([codes for codes, _ in parts]), np.concatenate([y for _, y in parts])


def summed(members: Sequence[TreeSite]) -> Callable[[trees.Model], NDArray[np.float64]]:
    """What adds up the answers of some sites."""
    return lambda question: np.sum([site.histogram(question) for site in members], axis=0)


def same_bits(one: trees.Model, other: trees.Model) -> bool:
    """Whether two models are equal, bit by bit."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def made_rows(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows with an interaction, a jump, missing values that tell and features that do not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    z = x[:, 0] * (x[:, 1] > 0) + 1.5 * (np.abs(x[:, 2]) > 1) - 0.5 * x[:, 3] - 1
    y = rng.random(n) < 1 / (1 + np.exp(-z))
    x[rng.random(n) < 0.2, 0] = np.nan
    x[rng.random(n) < 0.1 + 0.3 * y, 4] = np.nan
    return x.astype(np.float32), y.astype(np.float32)


def in_fractions(
    codes: NDArray[np.float32], slopes: NDArray[np.float64], growth: Growth, bins: int = BINS
) -> trees.Model:
    """A tree from rows, split by split with exact fractions.

    Args:
        codes: shape ``(rows, features)``.
        slopes: of the rows, and their curvatures, in units of 2**-30, shape ``(2, rows)``.
        growth: without constraints.
        bins: of a feature.
    """
    tree = trees.start(growth.depth, number=1)
    l2, least = Fraction(growth.l2), Fraction(growth.least_hessian)

    def sums(rows: NDArray[np.bool_]) -> tuple[Fraction, Fraction]:
        g, h = (Fraction(int(each[rows].sum()), 2**30) for each in slopes)
        return g, h

    def score(rows: NDArray[np.bool_]) -> Fraction:
        g, h = sums(rows)
        return g**2 / (h + l2) if h + l2 else Fraction(0)

    def go(node: int, rows: NDArray[np.bool_], level: int) -> None:
        best: tuple[Fraction, int, int, int, NDArray[np.bool_]] | None = None
        candidates = [] if level == growth.depth else [
            (feature, last, side)
            for feature in range(codes.shape[1])
            for last in range(1, bins + 1)
            for side in (1, 0)
        ]  # fmt: skip
        for feature, last, side in candidates:
            own = codes[:, feature]
            left = rows & np.where(own == 0, side == 1, own <= last)
            if min(sums(left)[1], sums(rows & ~left)[1]) < least:
                continue
            gain = score(left) + score(rows & ~left) - score(rows)
            if best is None or gain > best[0]:
                if not sums(rows & (own == 0))[1]:
                    side = int(sums(left)[1] >= sums(rows & ~left)[1])
                best = gain, feature, last, side, left
        if best is not None and float(best[0]) > growth.least_gain + 1e-9:
            _, *split, left = best
            for name, told_ in zip(trees.SPLITS, split, strict=True):
                tree[name][0, node] = told_
            go(2 * node + 1, left, level + 1)
            go(2 * node + 2, rows & ~left, level + 1)
        elif level or growth.shifts:
            leaf = (node + 1 - 2**level) << (growth.depth - level)
            g, h = sums(rows)
            tree[trees.VALUE][0, leaf] = growth.learning_rate * float(-g / (h + l2))

    go(0, np.ones(len(codes), bool), 0)
    return tree
