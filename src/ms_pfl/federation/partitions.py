"""Each country's rows as arrays, from the episodes and splits tables."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning.seeds import derive_seed

POOLED = "pooled"
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
_ID_COLUMNS = ("episode_id", "patient_id", "country", "t0", "label")


@dataclass(frozen=True)
class Split:
    """Rows of one split: features float32 ``(rows, features)``, NaN = missing; labels 0/1.

    ``owners``: which country each row is of, by number; all the same but for the pooled node.
    ``patients``: which patient, by number; it stays where the rows are.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    owners: NDArray[np.int16]
    patients: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ClientData:
    """What one client holds for one seed. The test rows are read by the predict query alone.

    Two are equal only if they are the same object, which can be looked up by (``eq=False``).
    """

    country: str
    seed: int
    train: Split
    validation: Split
    test: Split
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class CountryRows:
    """A country's rows: features, labels, and for each seed the split of each row (0, 1, 2).

    ``owners`` as in :class:`Split`; None: all are of one country. ``patients`` as there, from 0;
    None: each row is a patient.
    """

    country: str
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    splits: Mapping[int, NDArray[np.int8]]
    owners: NDArray[np.int16] | None = None
    patients: NDArray[np.int32] | None = None
    features: tuple[str, ...] = ()

    @property
    def patient_codes(self) -> NDArray[np.int32]:
        """The patient of each row, by number."""
        each = np.arange(len(self.y), dtype=np.int32)
        return each if self.patients is None else self.patients

    def client_data(self, seed: int) -> ClientData:
        """Return the rows of the three splits of one seed."""
        codes = self.splits[seed]
        owners = np.zeros(len(self.y), np.int16) if self.owners is None else self.owners
        parts = [
            Split(
                self.x[codes == i],
                self.y[codes == i],
                owners[codes == i],
                self.patient_codes[codes == i],
            )
            for i in range(len(SPLITS))
        ]
        train, validation, test = parts
        return ClientData(self.country, seed, train, validation, test, self.features)


@dataclass(frozen=True)
class FederationData:
    """All countries' rows, for a simulation on one machine or cluster.

    ``ids`` holds a country's patient_id, episode_id and label in the order of its rows.
    ``identity`` is a hash of the content: two equal ones hold the same rows.
    """

    features: tuple[str, ...]
    seeds: tuple[int, ...]
    countries: Mapping[str, CountryRows]
    ids: Mapping[str, pd.DataFrame]
    identity: str

    def rows(self, country: str) -> CountryRows:
        """Return a country's rows, or those of the node ``pooled``: all, in the order of the
        names."""
        return self._pooled if country == POOLED else self.countries[country]

    @cached_property
    def _pooled(self) -> CountryRows:
        parts = list(self.countries.values())
        patients = [part.patient_codes for part in parts]
        firsts = np.cumsum([0, *(int(codes.max(initial=-1)) + 1 for codes in patients)])
        return CountryRows(
            POOLED,
            np.concatenate([part.x for part in parts]),
            np.concatenate([part.y for part in parts]),
            {s: np.concatenate([part.splits[s] for part in parts]) for s in self.seeds},
            np.repeat(np.arange(len(parts), dtype=np.int16), [len(part.y) for part in parts]),
            np.concatenate(
                [codes + first for codes, first in zip(patients, firsts[:-1], strict=True)]
            ).astype(np.int32),
            self.features,
        )

    def training_rows(self, country: str, seed: int) -> int:
        """Count training episodes of a country (or of the pooled node)."""
        return self.split_rows(country, seed)["train"]

    def split_rows(self, country: str, seed: int) -> dict[SplitName, int]:
        """Count episodes of a country (or of the pooled node) in each split of a seed."""
        codes = self.rows(country).splits[seed]  # a row may be in no split
        return {name: int((codes == i).sum()) for i, name in enumerate(SPLITS)}


def feature_columns(episodes: pd.DataFrame) -> list[str]:
    """Return the columns of the episodes table that are features: all but ids, date and label."""
    return [name for name in episodes.columns if name not in _ID_COLUMNS]


def federation_data(
    episodes: pd.DataFrame, splits: pd.DataFrame, features: Sequence[str] | None = None
) -> FederationData:
    """Cut the episodes table into countries.

    A country's arrays depend on its own rows only, and not on the order of rows in the tables.

    Args:
        episodes: the episodes table (episode_id, patient_id, country, label, features).
        splits: patient_id, country, seed, split; with episode_id where episodes are split.
        features: names of the feature columns; all that are no id, date or label if None.

    Raises:
        InputError: a column is missing; a patient has no split or two; a label is not 0 or 1; a
            feature is no number or is infinite; a country has no training patient.
    """
    names = list(features) if features is not None else feature_columns(episodes)
    _check_columns(episodes, splits, names)
    seeds = tuple(sorted(int(seed) for seed in splits["seed"].unique()))
    table = episodes.sort_values(["country", "patient_id", "episode_id"], ignore_index=True)
    codes = {seed: _split_codes(table, splits, seed) for seed in seeds}
    x = _feature_array(table, names)
    y = table["label"].to_numpy(dtype=np.float32)
    countries: dict[str, CountryRows] = {}
    ids: dict[str, pd.DataFrame] = {}
    for country, index in sorted(table.groupby("country", sort=True).indices.items()):
        name = str(country)
        patients, _ = pd.factorize(table["patient_id"].iloc[index])
        countries[name] = CountryRows(
            name,
            x[index],
            y[index],
            {seed: codes[seed][index] for seed in seeds},
            patients=patients.astype(np.int32),
            features=tuple(names),
        )
        ids[name] = table.loc[index, ["patient_id", "episode_id", "label"]].reset_index(drop=True)
        for seed in seeds:
            if not (codes[seed][index] == 0).any():
                raise InputError(
                    f"splits: country {name} has no training patient in seed {seed}; give it one, "
                    "or leave the country out of the episodes table"
                )
    return FederationData(tuple(names), seeds, countries, ids, _identity(names, countries))


def redrawn(splits: pd.DataFrame) -> pd.DataFrame:
    """Return the splits shuffled within each country and seed: other rows, as many of each.

    Fine-tuning on them is what the published results rest on
    (``training.protocol.fine_tuning_rows``): some of its test rows have been trained on by the
    federated model.
    """
    parts = []
    for _, rows in splits.groupby(["seed", "country"], sort=True):
        seed, country = int(rows["seed"].iloc[0]), str(rows["country"].iloc[0])
        ordered = rows.sort_values(list(rows.columns.drop("split")))
        random = np.random.default_rng(derive_seed(seed, country, "redrawn"))
        dealt = random.permutation(ordered["split"].to_numpy(dtype=object))
        parts.append(ordered.assign(split=pd.Series(dealt, index=ordered.index, dtype="str")))
    return pd.concat(parts, ignore_index=True)


def _check_columns(episodes: pd.DataFrame, splits: pd.DataFrame, names: list[str]) -> None:
    for title, table, wanted in (
        ("episodes", episodes, ["episode_id", "patient_id", "country", "label", *names]),
        ("splits", splits, ["patient_id", "country", "seed", "split"]),
    ):
        missing = [name for name in wanted if name not in table.columns]
        if missing:
            raise InputError(f"{title}: column {', '.join(missing)} is missing")
        if table.empty:
            raise InputError(f"{title}: the table has no rows")
    if not names:
        raise InputError("episodes: there is no feature column")
    if not episodes["label"].isin([0, 1]).all():
        raise InputError("episodes: column label must be 0 or 1 in every row")
    if (episodes["country"] == POOLED).any():
        raise InputError(
            f"episodes: a country cannot be called {POOLED!r}, which stands for all together; "
            "give it another name: ingest.values.patients.country for a registry, the table itself "
            "for a custom one"
        )


def _split_codes(table: pd.DataFrame, splits: pd.DataFrame, seed: int) -> NDArray[np.int8]:
    key = ["country", "patient_id", *(["episode_id"] if "episode_id" in splits else [])]
    of_seed = splits.loc[splits["seed"] == seed, [*key, "split"]]
    twice = of_seed.duplicated(key)
    if twice.any():
        patient = of_seed.loc[twice, "patient_id"].iloc[0]
        raise InputError(f"splits: patient {patient} has two splits in seed {seed}")
    merged = table[key].merge(of_seed, on=key, how="left", validate="many_to_one")
    codes = merged["split"].map({name: i for i, name in enumerate(SPLITS)})
    if codes.isna().any():
        row = merged.loc[codes.isna()].iloc[0]
        found = "no split" if pd.isna(row["split"]) else f"split {row['split']!r}"
        raise InputError(
            f"splits: patient {row['patient_id']} of country {row['country']} has {found} in "
            f"seed {seed}; each patient of the episodes table needs one of {', '.join(SPLITS)}"
        )
    return np.asarray(codes, dtype=np.int8)


def _feature_array(table: pd.DataFrame, names: list[str]) -> NDArray[np.float32]:
    for name in names:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(
                f"episodes: feature {name} is {table[name].dtype}, not a number; "
                "turn it into numbers or leave it out"
            )
    x = table[names].to_numpy(dtype=np.float32, na_value=np.nan)
    infinite = np.isinf(x).any(axis=0)
    if infinite.any():
        raise InputError(f"episodes: feature {names[int(infinite.argmax())]} has infinite values")
    return np.ascontiguousarray(x)


def _identity(names: list[str], countries: Mapping[str, CountryRows]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\x1f".join([*names, "", *countries]).encode())
    for rows in countries.values():
        arrays: list[np.ndarray] = [rows.x, rows.y, rows.patient_codes, *rows.splits.values()]
        for array in arrays:
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(",".join(map(str, rows.splits)).encode())
    return digest.hexdigest()
