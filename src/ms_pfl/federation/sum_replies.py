"""What a reply to a question of sums tells: the one check before the server adds it up.

Sums over rows bound each other, so that sums that no rows could give are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ms_pfl.federation import messages
from ms_pfl.federation.fixed_point import COUNTS, ROWS, SLOPES, FixedPoint
from ms_pfl.federation.flower import ArrayRecord, Form, received
from ms_pfl.federation.messages import CLUSTERS, HISTOGRAMS, LABELS, LOGISTIC, MIXED, SCALER
from ms_pfl.federation.replies import ReplyError
from ms_pfl.learning.encoding import CELLS, FIRST_CELLS
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_questions import histogram_shape
from ms_pfl.learning.tree_rows import MOST_ROWS
from ms_pfl.personalization.method import Arrays

_ROUNDING = 1e-9  # of float64 sums over rows, far more than they lose
_LAST_BITS = 1e-18  # of fixed-point numbers
_SOLVED = 1e-6  # of a site's own deviations, which it finds by steps
_SQUARES = 100  # of a scaled feature, a row in the mean: 1, or more where it hardly varies


@dataclass(frozen=True)
class SumReply:
    """A client's reply to a question of sums; each method returns the sums, all checked.

    They raise ``ArrayError`` where an array is not what it has to be, and ``ReplyError`` where the
    numbers are no sums over so many rows.

    Attributes:
        record: of the reply.
        width: columns of the rows that the question is about.
        rows: that the client trains on, where they are known.
        sites: that are added up.
        scaled_rows: of all clients, where they are known and their features are scaled together:
            the squares of a feature add up to no more than their number.
        parts: sites whose sums these are the total of.
    """

    record: ArrayRecord
    width: int
    rows: int | None
    sites: int
    scaled_rows: int | None = None
    parts: int = 1

    def scaler(self) -> dict[str, np.ndarray]:
        """Return the sums for the scaler."""
        found = self._decoded(SCALER)
        n, squares = found["n"], found["sum-of-squares"]
        if not _whole(n, 0):
            raise ReplyError("n has to be a number of rows")
        if self.rows is not None and (n > self.rows).any():
            raise ReplyError(
                f"n is {n.max():g} for a feature, and the client has {self.rows} train rows"
            )
        if (squares < 0).any() or _exceed(found["sum"], n, squares):
            raise ReplyError(
                "the sum of a feature is larger than its number and sum of squares allow"
            )
        return found

    def cells(self, *, second: bool) -> dict[str, np.ndarray]:
        """Return the counts for the encoding of the inputs, of the second grid or the first."""
        found = self._decoded(messages.SECOND_CELLS if second else messages.FIRST_CELLS)
        present = found["counts"].sum(axis=1)
        most = math.inf if self.rows is None else self.rows
        if any((counts < 0).any() for counts in found.values()) or (present > most).any():
            its = "its" if self.rows is None else self.rows
            raise ReplyError(f"the counts are not those of {its} rows")
        if second:
            together = found["missing-together"]
            missing = np.diag(together)
            every = present + missing
            if (every != every[0]).any() or self.rows not in (None, every[0]):
                raise ReplyError("values and missing values are not as many as the rows")
            most_missing = np.minimum.outer(missing, missing)
            if (together != together.T).any() or (together > most_missing).any():
                raise ReplyError("more rows miss two features at once than miss one of them")
        return found

    def logistic(self, *, of_zeros: bool = False) -> dict[str, np.ndarray]:
        """Return the sums for a step of a logistic regression.

        Args:
            of_zeros: whether the model is all zeros, which gives each row the probability 1/2: a
                row then adds log 2 to the loss and 1/4 to the Hessian.
        """
        found = self._decoded(LOGISTIC)
        self._check_newton(found)
        if of_zeros:
            _check_start(found)
        return found

    def mixed(self, *, variance: np.ndarray) -> dict[str, np.ndarray]:
        """Return the sums for a step of a regression with coefficients of the client's own.

        Args:
            variance: of each coefficient between sites in the model that was sent. The client's own
                deviation is the variance times the element of the gradient.
        """
        found = self._decoded(MIXED)
        self._check_newton(found)
        if (variance * np.diag(found["hessian"]) > self.parts * (1 + _ROUNDING)).any():
            raise ReplyError("the Hessian of a coefficient is more than its variance allows")
        wanted = (variance * found["gradient"]) ** 2 / self.parts
        room = self.parts * _SOLVED * (1 + variance + wanted)
        away = wanted - found["square"]  # of several sites the squares may be more, never less
        if ((away if self.parts > 1 else np.abs(away)) > room).any():
            raise ReplyError(
                "the squares of its own deviations are not what its gradient and the variances "
                "make of them"
            )
        return found

    def clusters(self) -> dict[str, np.ndarray]:
        """Return the sums for the standard errors of a fitted regression."""
        found = self._decoded(CLUSTERS)
        n = self._checked_rows(found)
        diagonal, own = (
            _checked_diagonal(found[name], what)
            for name, what in (("hessian", "Hessian"), ("meat", "sum over patients"))
        )
        if diagonal[-1] > n / 4 * (1 + _ROUNDING) or own[-1] > n**2 * (1 + _ROUNDING):
            raise ReplyError(
                "the intercept's Hessian or sum over patients is more than so many rows"
            )
        if self.scaled_rows is not None:
            squares = _SQUARES * self.scaled_rows
            if (4 * diagonal > squares).any() or (own > n * squares).any():
                raise ReplyError(
                    "a Hessian or sum over patients is more than scaled features can give"
                )
        return found

    def labels(self) -> dict[str, np.ndarray]:
        """Return the rows without and with label 1."""
        found = self._decoded(LABELS)
        told = found["labels"]
        if (told < 0).any() or self.rows not in (None, told.sum()):
            raise ReplyError(f"its {told.sum():g} rows by label are not those that it trains on")
        return found

    def histograms(self, asked: Arrays, settings: TreesParameters) -> dict[str, np.ndarray]:
        """Return the histograms of a level of a tree.

        Args:
            asked: the question.
            settings: of the trees.
        """
        forms = sum_forms(HISTOGRAMS, self.width, asked, settings)
        found = {
            name: words[0].view(np.int64)  # whole multiples of the unit
            for name, words in received(self.record, forms, finite=False).items()
        }
        histogram, unit = found["histogram"], 2.0**SLOPES.fraction
        if max(int(histogram.max()), -int(histogram.min())) > MOST_ROWS * unit:
            raise ReplyError("the array 'histogram' holds a number beyond its share of a sum")
        if found["loss"][0] < 0 or histogram[..., 1].min() < 0:
            raise ReplyError("the loss, or a sum of curvatures, is below 0")
        totals = histogram.sum(axis=2)
        if (totals != totals[:, :1]).any():
            raise ReplyError("the bins of one feature hold other rows than those of another")
        if self.rows is not None:
            n = self.rows * max(1.0, settings.positive_weight) * unit
            whole, most = totals[:, 0].sum(axis=0), np.abs(histogram[..., 0]).max()
            if max(abs(int(whole[0])), 4 * int(whole[1]), int(most)) > n:
                raise ReplyError("a slope or curvature is more than so many rows can give")
        return found

    def _decoded(self, question: str) -> dict[str, np.ndarray]:
        """Return the sums, which are finite however they are written."""
        form, expected = format_of(question), sum_forms(question, self.width)
        found, limit = {}, form.limit(self.sites)
        for name, words in received(self.record, expected, finite=False).items():
            found[name] = form.decode(words)
            if words.size and max(found[name].max(), -found[name].min()) > limit:
                raise ReplyError(f"the array '{name}' holds a number beyond its share of a sum")
        return found

    def _check_newton(self, found: Arrays) -> None:
        """See that sums for a step of Newton are such, over so many rows."""
        n, gradient = self._checked_rows(found), found["gradient"]
        if found["loss"][0] < 0:
            raise ReplyError("the log-loss is below 0")
        diagonal = _checked_diagonal(found["hessian"], "Hessian")
        if diagonal[-1] > n / 4 * (1 + _ROUNDING) or abs(gradient[-1]) > n * (1 + _ROUNDING):
            raise ReplyError(
                "the intercept's gradient or Hessian is more than so many rows can give"
            )
        if self.scaled_rows is not None:
            squares = _SQUARES * self.scaled_rows
            if (4 * diagonal > squares).any() or (gradient**2 > n * squares).any():
                raise ReplyError("a gradient or Hessian is more than scaled features can give")

    def _checked_rows(self, found: Arrays) -> float:
        """Return the rows that the client tells of, which are those that it has."""
        n = float(found["n"][0])
        if not _whole(found["n"], 1) or (self.rows is not None and n != self.rows):
            known = "" if self.rows is None else f", and the client has {self.rows} train rows"
            raise ReplyError(f"n is {n:g}{known}")
        return n


def format_of(question: str) -> FixedPoint:
    """Return the format in which the answers to a question travel."""
    if question == HISTOGRAMS:
        return SLOPES
    counted = (messages.FIRST_CELLS, messages.SECOND_CELLS, LABELS)
    return COUNTS if question in counted else ROWS


def sum_forms(
    question: str, width: int, asked: Arrays | None = None, settings: TreesParameters | None = None
) -> dict[str, Form]:
    """Return what the arrays of an answer to a question are.

    Args:
        question: of sums.
        width: columns of the rows that it is about.
        asked: the question about a level of a tree.
        settings: of the trees.
    """
    size = width + 1
    shapes: dict[str, tuple[int, ...]]
    match question:
        case messages.SCALER:
            shapes = dict.fromkeys(("n", "sum", "sum-of-squares"), (width,))
        case messages.FIRST_CELLS:
            shapes = {"counts": (width, FIRST_CELLS)}
        case messages.SECOND_CELLS:
            shapes = {"counts": (width, CELLS), "missing-together": (width, width)}
        case messages.LOGISTIC | messages.MIXED:
            shapes = {"gradient": (size,), "hessian": (size, size), "loss": (1,), "n": (1,)}
            if question == MIXED:
                shapes["square"] = (size,)
        case messages.CLUSTERS:
            shapes = {"hessian": (size, size), "meat": (size, size), "n": (1,)}
        case messages.LABELS:
            shapes = {"labels": (2,)}
        case messages.HISTOGRAMS if asked is not None and settings is not None:
            shapes = {"histogram": tuple(histogram_shape(asked, settings)), "loss": (1,)}
        case _:
            raise ValueError(f"there is no question {question!r}")
    words = format_of(question).words
    return {name: Form("uint64", (words, *shape)) for name, shape in shapes.items()}


def _whole(n: np.ndarray, least: int) -> bool:
    """Whether numbers are numbers of rows."""
    return bool(((n == np.rint(n)) & (n >= least)).all())


def _exceed(products: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether sums of products are larger than the sums of squares allow (Cauchy-Schwarz)."""
    room = _LAST_BITS * (1 + one + other)
    return bool((products**2 > one * other * (1 + _ROUNDING) + room).any())


def _checked_diagonal(matrix: np.ndarray, what: str) -> np.ndarray:
    """Return the diagonal of a matrix that is a sum of squares.

    Raises:
        ReplyError: it is no such matrix.
    """
    diagonal = np.diag(matrix)
    if (diagonal < 0).any():
        raise ReplyError(f"the {what} has a number below 0 on its diagonal")
    if (
        np.abs(matrix - matrix.T) > _ROUNDING * np.sqrt(np.outer(diagonal, diagonal)) + 1e-15
    ).any():
        raise ReplyError(f"the {what} is not symmetric")
    if _exceed(matrix, diagonal, diagonal[:, np.newaxis]):
        raise ReplyError(f"the {what} has a number that its diagonal does not allow")
    return diagonal


def _check_start(found: Arrays) -> None:
    """See that the sums about a model of zeros are such: each row has the probability 1/2.

    Raises:
        ReplyError: they are not.
    """
    n, loss = float(found["n"][0]), float(found["loss"][0])
    gradient, diagonal = found["gradient"], np.diag(found["hessian"])
    exact = {"log-loss": (loss, n * math.log(2)), "intercept's Hessian": (diagonal[-1], n / 4)}
    for name, (value, wanted) in exact.items():
        if abs(value - wanted) > _ROUNDING * wanted:
            raise ReplyError(
                f"the {name} is {value:.9g}, and that of {n:g} rows is {wanted:.9g} at a model of "
                "zeros"
            )
    if _exceed(gradient, np.full_like(diagonal, n), diagonal):
        raise ReplyError("a gradient is more than the Hessian allows at a model of zeros")
