"""Floors in patients: about whom a site tells numbers, and about whom it does not.

Every set of patients that a number is told of has at least as many patients as the policy's floor:
each split of each seed, and of a feature those who have a value. A refusal says "too few" and no
number. A set that differs from an earlier one by fewer patients than the floor is refused too: the
difference of two sums is a sum over those who are in one of them alone.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.federation.checkpoints import DamagedFileError, read_arrays, write_arrays
from ms_pfl.federation.partitions import SPLITS, ClientData, FederationData, Split

_TRAIN = SPLITS.index("train")
Words = NDArray[np.uint64]


class Floors:
    """The floors of one site's rows."""

    def __init__(self, data: FederationData, country: str, floor: int) -> None:
        """Take the rows of one country, and the patients that a number is told of at least."""
        self._data, self._country, self._floor = data, country, floor
        self._rows = data.countries[country]
        self._patients, _ = pd.factorize(data.ids[country]["patient_id"])

    def check_splits(self) -> None:
        """See that each split of each seed has enough patients.

        Raises:
            RefusalError: one has too few.
        """
        for seed, part in itertools.product(self._data.seeds, range(len(SPLITS))):
            if self._count(self._rows.splits[seed] == part) < self._floor:
                raise self._too_few("patients")

    def check_cells(self) -> None:
        """See that each cell of two indicators has enough training patients, or none.

        The outcome is one of them: Newton's first gradient is a sum over those who have it, and its
        first Hessian counts who has two indicators at once.

        Raises:
            RefusalError: one has too few, in a seed.
        """
        for seed in self._data.seeds:
            train = np.flatnonzero(self._rows.splits[seed] == _TRAIN)
            train = train[np.argsort(self._patients[train], kind="stable")]
            first = np.flatnonzero(np.diff(self._patients[train], prepend=-1))  # row of a patient
            columns = [*self._rows.x[train].T, self._rows.y[train]]
            held = np.column_stack([c == value for c in columns for value in _values(c)])
            for value in held.T:
                patients = np.logical_or.reduceat(held & value[:, None], first).sum(axis=0)
                if ((patients > 0) & (patients < self._floor)).any():
                    raise self._too_few("patients in a cell (small_cells: refuse)")

    def check_weights(self, seed: int, weights: NDArray[np.float64]) -> None:
        """See that a weighted sum over a seed's training rows is one over enough patients.

        Their number is Kish's effective one: the square of the sum of the patients' weights over
        the sum of their squares.

        Args:
            seed: of the rows.
            weights: of them, at least 0.

        Raises:
            RefusalError: nearly all the weight is that of too few.
        """
        train = self._rows.splits[seed] == _TRAIN
        own = np.bincount(self._patients[train], weights)
        if own.sum() ** 2 < self._floor * np.square(own).sum() or not own.any():
            raise self._too_few("patients weigh in such a sum (small_cells: refuse)")

    def patients(self, seed: int) -> tuple[int, ...]:
        """Return the number of patients in each split of a seed."""
        codes = self._rows.splits[seed]
        return tuple(self._count(codes == part) for part in range(len(SPLITS)))

    def without_rare_features(self, own: ClientData) -> ClientData:
        """Return a seed's rows without the features that too few training patients have.

        They are missing then, and so not known here: number, sum and sum of squares are 0. So is a
        feature whose sums in an earlier seed are over nearly the same patients: the difference
        would be a sum over too few.
        """
        rare = np.flatnonzero(~self._told_features[own.seed])
        if not len(rare):
            return own

        def without(split: Split) -> Split:
            x = split.x.copy()
            x[:, rare] = np.nan
            return replace(split, x=x)

        return ClientData(
            own.country, own.seed, without(own.train), without(own.validation), without(own.test)
        )

    @cached_property
    def _told_features(self) -> dict[int, NDArray[np.bool_]]:
        """Of each seed, which features enough training patients have."""
        order = np.argsort(self._patients, kind="stable")
        first = np.flatnonzero(np.diff(self._patients[order], prepend=-1))  # row of a patient
        known = ~np.isnan(self._rows.x[order])
        before: list[NDArray[np.bool_]] = []  # who has each feature that is told, by seed
        told: dict[int, NDArray[np.bool_]] = {}
        for seed in self._data.seeds:
            train = self._rows.splits[seed][order] == _TRAIN
            have = np.logical_or.reduceat(known & train[:, None], first)
            told[seed] = have.sum(axis=0) >= self._floor
            for other in before:
                differing = (have ^ other).sum(axis=0)
                told[seed] &= ~other.any(axis=0) | (differing == 0) | (differing >= self._floor)
            before.append(have & told[seed])
        return told

    def classes_are_told(self, seed: int, split: str) -> bool:
        """Return whether enough patients of a split have the outcome, and enough lack it.

        ROC-AUC and the number with the outcome are told of such a split alone.
        """
        held = self._rows.splits[seed] == SPLITS.index(split)
        return all(self._count(held & (self._rows.y == label)) >= self._floor for label in (0, 1))

    def _count(self, rows: NDArray[np.bool_]) -> int:
        return len(np.unique(self._patients[rows]))

    def _too_few(self, what: str) -> RefusalError:
        return RefusalError(f"{self._country} takes no part: too few {what}")


def _values(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values of an indicator; none of another column."""
    values = np.unique(column[~np.isnan(column)])
    return values if np.isin(values, (0.0, 1.0)).all() else values[:0]


class KnownSets:
    """The sets of patients that a site has told numbers of, as digests with its secret.

    A set is two arrays of 64-bit words: its patients, and for each of them what it contributes to
    the sums of each column. They stay when the snapshot that they are of goes.
    """

    def __init__(self, site_folder: Path) -> None:
        """Name the folder; it is made when something is kept."""
        self.path = site_folder / "sets"

    def check(self, snapshot: str, data: FederationData, country: str, secret: bytes, floor: int,
    ) -> None:  # fmt: skip
        """See that no set is nearly an earlier one, and take down the sets of a new snapshot.

        Two sets of the same patients with the same values are one set.

        Args:
            snapshot: name of the rows.
            data: its rows.
            country: of the site.
            secret: of the site.
            floor: patients that two sets differ by at least.

        Raises:
            RefusalError: a set differs from an earlier one by fewer patients.
        """
        path = self.path / f"{snapshot}.safetensors"
        if path.is_file():
            return
        new = dict(_sets(data, country, secret))
        for other in sorted(self.path.glob("*.safetensors")):
            for own, before in itertools.product(new.values(), _read_sets(other)):
                if _nearly_the_same(own, before, floor):
                    raise RefusalError(
                        f"{country} takes no part: it has told numbers of nearly the same "
                        "patients, and the difference would tell of too few"
                    )
        arrays = {
            f"{name}/{kind}": array
            for name, pair in new.items()
            for kind, array in zip(("ids", "values"), pair, strict=True)
        }
        write_arrays(path, arrays, sorted(new))
        path.chmod(0o600)


def _read_sets(path: Path) -> list[tuple[Words, Words]]:
    try:
        arrays, names = read_arrays(path)
        return [(arrays[f"{name}/ids"], arrays[f"{name}/values"]) for name in names]
    except DamagedFileError:
        raise RefusalError(
            "the site's record of the patients it has told numbers of is damaged; its operator "
            "restores the folder 'sets' of the site folder"
        ) from None


def _sets(
    data: FederationData, country: str, secret: bytes
) -> Iterator[tuple[str, tuple[Words, Words]]]:
    """Each split of each seed: digests of its patients, sorted, and of what they contribute."""
    rows = data.countries[country]
    names = data.ids[country]["patient_id"].astype(str)
    codes, patients = pd.factorize(names)
    ids = np.array([_word(secret, f"patient|{name}") for name in patients], dtype=np.uint64)
    columns = np.column_stack([rows.x, rows.y]).view(np.uint32).astype(np.uint64)
    keys = [_word(secret, f"column|{name}") for name in (*data.features, "label")]
    mixed = _mixed(columns + np.array(keys, dtype=np.uint64))
    for seed in data.seeds:
        for part, split in enumerate(SPLITS):
            held = rows.splits[seed] == part
            own, place = np.unique(ids[codes[held]], return_inverse=True)
            values = np.zeros((len(own), mixed.shape[1]), np.uint64)
            np.add.at(values, place, mixed[held])  # of all rows of a patient, in any order
            yield f"{seed}|{split}", (own, values)


def _nearly_the_same(one: tuple[Words, Words], other: tuple[Words, Words], floor: int) -> bool:
    """Whether fewer patients than the floor, and not none, differ in membership or in a column."""
    both, mine, theirs = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    alone = len(one[0]) + len(other[0]) - 2 * len(both)
    if alone >= floor:
        return False
    if one[1].shape[1] != other[1].shape[1]:  # other features: only the patients can be compared
        return alone > 0
    differing = alone + (one[1][mine] != other[1][theirs]).sum(axis=0)
    return bool(((differing > 0) & (differing < floor)).any())


def _word(secret: bytes, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), key=secret, digest_size=8).digest(), "big")


def _mixed(words: Words) -> Words:
    """Return a word of each word, such that sums of them distinguish the words (splitmix64's
    finalizer)."""
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return words ^ (words >> np.uint64(31))
