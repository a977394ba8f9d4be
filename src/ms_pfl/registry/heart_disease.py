"""UCI Heart Disease: four real hospitals, as an example of a multi-site table of one's own.

Source: UCI Machine Learning Repository, dataset 45 (Janosi, Steinbrunn, Pfisterer, Detrano 1988),
CC BY 4.0. The encoding is that of FLamby's Fed-Heart-Disease (Ogier du Terrail et al. 2022): the
complete cases over ten predictors, ``slope``, ``ca`` and ``thal`` left out because most hospitals
lack them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ms_pfl.errors import InputError

HOSPITALS = {
    "Cleveland": "processed.cleveland.data",
    "Hungary": "processed.hungarian.data",
    "Switzerland": "processed.switzerland.data",
    "Long Beach": "processed.va.data",
}

_PREDICTORS = [
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
]
_LEFT_OUT = ["slope", "ca", "thal"]
_COLUMNS = [*_PREDICTORS, *_LEFT_OUT, "num"]
_CATEGORIES = {"cp": (1, 2, 3, 4), "restecg": (0, 1, 2)}
_WHERE = (
    "They can be had from the UCI Machine Learning Repository (dataset 45, Heart Disease); "
    "name their folder with --params=heart_folder=DIR."
)


def read_episodes(folder: Path) -> pd.DataFrame:
    """Read the four files and encode the complete cases.

    Args:
        folder: holds ``processed.{cleveland,hungarian,switzerland,va}.data``: 14 comma-separated
            columns without a header, ``?`` = missing.

    Returns:
        An ``episodes`` table of 740 rows with 13 features (8 as measured; dummies of ``cp`` and
        ``restecg`` without their first level), one hospital a ``country``, one row a patient;
        ``label`` is 1 where ``num`` > 0. Rows are sorted by country and episode_id.

    Raises:
        InputError: a file is missing, or a value is not a number.
    """
    parts = []
    for hospital, name in HOSPITALS.items():
        raw = _read_file(folder / name).drop(columns=_LEFT_OUT).dropna()
        number = raw.index.to_series().add(1).astype(str).str.zfill(3)
        patient = f"{hospital} " + number
        identity = pd.DataFrame(
            {"episode_id": patient, "patient_id": patient, "country": hospital}, dtype="str"
        )
        identity["label"] = raw["num"].gt(0).astype("int8")
        parts.append(pd.concat([identity, _encode(raw.drop(columns="num"))], axis=1))
    episodes = pd.concat(parts).sort_values(["country", "episode_id"], ignore_index=True)
    episodes.attrs["source"] = {
        "kind": "own",
        "description": "UCI Heart Disease, four hospitals, complete cases",
        "outcome": "heart disease (num above 0)",
    }
    return episodes


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} does not exist: the four files of Heart Disease. {_WHERE}")
    text = pd.read_csv(path, header=None, dtype="str", na_values="?", keep_default_na=False)
    if text.shape[1] != len(_COLUMNS):
        raise InputError(
            f"{path} has {text.shape[1]} columns where {len(_COLUMNS)} are expected. {_WHERE}"
        )
    text.columns = pd.Index(_COLUMNS)
    numbers = text.apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna() & text.notna()
    if wrong.to_numpy().any():
        row, column = next((r, c) for c in _COLUMNS for r in wrong.index[wrong[c]])
        raise InputError(
            f"{path}, row {row + 1}, column {column}: {text.loc[row, column]!r} is not a number. "
            "Mend the file; a missing value is written as '?'."
        )
    return numbers


def _encode(predictors: pd.DataFrame) -> pd.DataFrame:
    """Dummies against fixed levels, so that every hospital gets the same columns."""
    encoded = predictors.drop(columns=list(_CATEGORIES))
    for column, levels in _CATEGORIES.items():
        for level in levels[1:]:
            encoded[f"{column}_{level}"] = predictors[column].eq(level)
    return encoded.astype("float32")
