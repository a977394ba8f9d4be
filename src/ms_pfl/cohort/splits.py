"""Splits by patient into training, validation and test, country by country."""

import hashlib
import hmac
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from ms_pfl.cohort.parameters import SplitFractions

SPLITS: tuple[str, ...] = ("train", "validation", "test")
_MINIMUM_TO_SPLIT = 3


def split_episodes(
    episodes: pd.DataFrame, seeds: Sequence[int], fractions: SplitFractions, secret: bytes = b""
) -> pd.DataFrame:
    """Split each country's episodes as if each were a patient: the published way.

    Episodes of one patient overlap, so that what is tested has in part been trained on. It is here
    to measure what that is worth.

    Returns:
        As :func:`split_patients`, with a row per episode and seed, and a column episode_id.
    """
    units = episodes.assign(patient_id=episodes["episode_id"])
    splits = split_patients(units, seeds, fractions, secret)
    splits = splits.rename(columns={"patient_id": "episode_id"})
    owners = episodes[["patient_id", "episode_id", "country"]].astype("str")
    table = splits.merge(owners, on=["country", "episode_id"], how="left", validate="many_to_one")
    return table[["patient_id", "episode_id", "country", "seed", "split"]]


def split_patients(
    episodes: pd.DataFrame, seeds: Sequence[int], fractions: SplitFractions, secret: bytes = b""
) -> pd.DataFrame:
    """Split each country's patients for each seed.

    A country's sizes are those of :func:`split_sizes`. Its patients are stratified by whether any
    of their episodes worsened, where each stratum has at least three patients; the sizes are then
    shared over the two strata (:func:`stratum_sizes`). A country's split depends on its own
    patients, the seed, its name and the secret alone, so that a site computes the same by itself.

    Args:
        episodes: at least patient_id, country, label (0/1); rows in any order.
        seeds: one split each.
        fractions: shares of patients.
        secret: of a real site. Without it a split is a public permutation, so that sums over the
            training patients of many seeds are linear equations for the patients' values.

    Returns:
        patient_id, country, seed (int64), split, sorted by seed, country, patient_id.
    """
    worsened = episodes.groupby(["country", "patient_id"], sort=True)["label"].max()
    parts = []
    for seed, (country, labels) in product(seeds, worsened.groupby(level="country", sort=True)):
        split = _split_country(
            labels.to_numpy() > 0, _generator(seed, str(country), secret), fractions
        )
        patients = labels.index.to_frame(index=False)
        parts.append(patients.assign(seed=seed, split=np.array(SPLITS)[split]))
    columns = {"patient_id": "str", "country": "str", "seed": "int64", "split": "str"}
    return pd.concat(parts, ignore_index=True)[list(columns)].astype(columns)


def count_splits(episodes: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Count what each country has to train, select and be scored on.

    Args:
        episodes: patient_id, country, label (0/1).
        splits: the table of :func:`split_patients` (or :func:`split_episodes`) for the same
            episodes.

    Returns:
        A row per seed and country: seed, country, train_patients, validation_patients,
        test_patients (episodes, where they are split), train_episodes, train_positive; sorted by
        seed, country.
    """
    key = ["country", "patient_id", *(["episode_id"] if "episode_id" in splits else [])]
    own = episodes.groupby(key)["label"].agg(["size", "sum"]).reset_index()
    table = splits.merge(own, on=key, how="left", validate="many_to_one")
    training = table["split"].eq("train")
    columns = {f"{name}_patients": table["split"].eq(name) for name in SPLITS} | {
        "train_episodes": table["size"].where(training, 0),
        "train_positive": table["sum"].where(training, 0),
    }
    counted = table[["seed", "country"]].assign(**columns).groupby(["seed", "country"]).sum()
    return counted.astype("int64").reset_index()


def _generator(seed: int, country: str, secret: bytes) -> np.random.Generator:
    text = f"split|{seed}|{country}".encode()
    digest = hmac.digest(secret, text, "sha256") if secret else hashlib.sha256(text).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _split_country(
    worsened: np.ndarray, rng: np.random.Generator, fractions: SplitFractions
) -> np.ndarray:
    """Index into SPLITS of each patient of a country, patients in sorted order."""
    strata = [np.flatnonzero(worsened), np.flatnonzero(~worsened)]
    total = split_sizes(len(worsened), fractions)
    if min(map(len, strata)) < _MINIMUM_TO_SPLIT:
        sizes, strata = np.array([total]), [np.arange(len(worsened))]
    else:
        first = stratum_sizes(len(strata[0]), total)
        sizes = np.array([first, np.subtract(total, first)])
    split = np.empty(len(worsened), dtype=np.int64)
    for members, counts in zip(strata, sizes, strict=True):
        split[rng.permutation(members)] = np.repeat(np.arange(len(SPLITS)), counts)
    return split


def split_sizes(n: int, fractions: SplitFractions) -> tuple[int, int, int]:
    """Patients in training, validation and test of n: largest remainders, none of them empty.

    >>> split_sizes(10, SplitFractions(train=0.6, validation=0.2, test=0.2))
    (6, 2, 2)
    """
    if n < _MINIMUM_TO_SPLIT:
        return ((0, 0, 0), (1, 0, 0), (1, 0, 1))[n]
    # Rounded, as 0.6 * 55 would otherwise floor to 32.
    exact = np.round(n * np.array([fractions.train, fractions.validation, fractions.test]), 9)
    sizes = np.floor(exact).astype(int)
    # Equal remainders go to training, then test: a country without a test is not scored.
    order = sorted(range(3), key=lambda i: (-round(exact[i] - sizes[i], 9), (0, 2, 1)[i]))
    sizes[order[: n - int(sizes.sum())]] += 1
    while (empty := np.flatnonzero(sizes == 0)).size:
        sizes[int(sizes.argmax())] -= 1
        sizes[empty[0]] += 1
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def stratum_sizes(n: int, total: Sequence[int]) -> tuple[int, ...]:
    """Patients of the first of two strata in each split; the second stratum gets the rest.

    Controlled rounding: the splits of both strata add up to `total`. Of all such sizes those
    count that leave the fewest splits without a patient of one of the strata, of these the ones
    nearest to proportional (least squares), of these the ones with most for test, then training.

    Args:
        n: patients of the first stratum, at least 3, and as many in the second.
        total: patients of both strata in each split.

    >>> stratum_sizes(3, (4, 1, 1))
    (2, 0, 1)
    """
    share = n / sum(total)
    # An optimum lies within one of the rounded proportions, and one more to fill an empty split.
    near = [range(max(0, int(t * share) - 1), min(t, int(t * share) + 2) + 1) for t in total]
    candidates = (sizes for sizes in product(*near) if sum(sizes) == n)

    def cost(sizes: tuple[int, ...]) -> tuple[float, ...]:
        empty = sum((s == 0) + (s == t) for s, t in zip(sizes, total, strict=True))
        squares = sum((s - t * share) ** 2 for s, t in zip(sizes, total, strict=True))
        return (empty, round(squares, 9), -sizes[2], -sizes[0])

    return min(candidates, key=cost)
