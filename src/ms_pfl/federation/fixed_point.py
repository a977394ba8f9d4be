r"""Fixed-point numbers: totals that are the same bits in any order.

A site's number :math:`x` travels as the integer :math:`u = \mathrm{round}(2^b x)` in two's
complement, in words of 64 bits. Integers are added modulo :math:`2^{64 w}` for :math:`w` words,
which knows no order; the total is read as a signed number and divided by :math:`2^b`. A site may
use its share of the range alone, :math:`|u| < 2^{64 w - 1} / K` with :math:`K` sites, so that no
total can overflow.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError

Arrays = Mapping[str, np.ndarray]
Words = NDArray[np.uint64]
_WORD = 2.0**64
_ONE = np.uint64(1)


class TooLargeError(InputError):
    """A number with which a total over sites could overflow."""


@dataclass(frozen=True)
class FixedPoint:
    """A format of fixed-point numbers.

    Attributes:
        words: of 64 bits, of each number: 1 or 2, the least significant first.
        fraction: bits after the binary point.
    """

    words: int
    fraction: int

    def limit(self, sites: int) -> float:
        """Return what a site's number stays below in magnitude, if so many sites are added up."""
        return (2.0 ** (64 * self.words - 1) / sites - 1) * 2.0**-self.fraction

    def encode(self, values: np.ndarray, sites: int, times: int = 1) -> Words:
        """Return numbers as words, shape ``(words, *values.shape)``.

        Args:
            values: real numbers, rounded to the nearest multiple of ``2**-fraction``.
            sites: that are added up.
            times: what the numbers are multiplied by.

        Raises:
            TooLargeError: a number is not finite, or so large that a total could overflow.
        """
        factor = times * 2.0**self.fraction
        scaled = np.asarray(np.multiply(values, factor, dtype=np.float64))
        most = self.limit(sites) * 2.0**self.fraction
        # extremes are quicker than a look at each; they are NaN where a number is
        if scaled.size and not (scaled.max() < most and scaled.min() > -most):
            wrong = scaled[~(np.abs(scaled) < most)].flat[0] * 2.0**-self.fraction
            raise TooLargeError(
                f"{wrong:g} cannot be added up over {sites} sites: numbers have to "
                f"be finite and below {self.limit(sites):.3g}"
            )
        np.rint(scaled, out=scaled)
        if self.words == 1:
            return scaled.astype(np.int64).view(np.uint64)[np.newaxis]
        magnitude = np.abs(scaled)
        above = np.floor(magnitude / _WORD)
        words = np.stack([magnitude - above * _WORD, above]).astype(np.uint64)
        return np.where(scaled < 0, negative(words), words)

    def decode(self, words: Words) -> NDArray[np.float64]:
        """Return the numbers of words, shape ``words.shape[1:]``."""
        if self.words == 1:
            return words[0].view(np.int64) * 2.0**-self.fraction
        below_zero = words[1] >> np.uint64(63) == 1
        low, high = np.where(below_zero, negative(words), words).astype(np.float64)
        value = (high * _WORD + low) * 2.0**-self.fraction
        return np.where(below_zero, -value, value)

    def exactly(self, words: Words) -> float:
        """Return the number of the words of one number, rounded once; cf. :func:`exact_sum`."""
        bits = 64 * self.words
        value = sum(int(word) << (64 * place) for place, word in enumerate(words.ravel()))
        return (value - ((value >> (bits - 1)) << bits)) / 2**self.fraction


MODEL = FixedPoint(words=1, fraction=32)
"""Of weights, times rows: exact to 2**-33 for each site."""
ROWS = FixedPoint(words=2, fraction=64)
"""Of sums over rows: squares of days are large, losses and slopes small."""
SLOPES = FixedPoint(words=1, fraction=30)
"""Of slopes and curvatures, which are rounded to multiples of 2**-30 row by row."""
COUNTS = FixedPoint(words=1, fraction=0)
"""Of numbers of rows."""


def add(parts: Iterable[Words]) -> Words:
    """Return the total of words of the same shape, modulo ``2**(64 * words)``."""
    parts = iter(parts)
    total = next(parts).copy()
    for part in parts:
        total += part
        if len(total) == 2:
            total[1, ...] += total[0] < part[0]
    return total


def exact_sum(values: Iterable[float]) -> float:
    """Return the sum of numbers of rows or losses, as if they had travelled in :data:`ROWS`.

    It is rounded once, and is the same bits as :meth:`FixedPoint.exactly` of the added words.
    """
    unit = 2.0**-ROWS.fraction
    return math.fsum(float(np.rint(value / unit)) * unit for value in values)


def negative(words: Words) -> Words:
    """Return the two's complement of numbers of two words, shape ``(2, ...)``."""
    low, high = words[:1], words[1:]
    return np.concatenate([~low + _ONE, ~high + (low == 0)])
