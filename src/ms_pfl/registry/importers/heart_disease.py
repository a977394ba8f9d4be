"""UCI Heart Disease: four real hospitals, as an example of a custom multi-site table.

Source: UCI Machine Learning Repository, dataset 45 (Janosi, Steinbrunn, Pfisterer, Detrano 1988),
CC BY 4.0; columns and codes are those of its ``heart-disease.names``. The complete rows follow
FLamby's Fed-Heart-Disease (Ogier du Terrail et al. 2022): ten predictors, ``slope``, ``ca`` and
``thal`` left out because most hospitals lack them, a cholesterol of 0 taken as it stands.
"""

import io
from pathlib import Path
from typing import Literal

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.input_files import read_regular
from ms_pfl.names import normal_cells
from ms_pfl.registry.ingest.refusals import Origin

HOSPITALS = {
    "Cleveland": "processed.cleveland.data",
    "Hungary": "processed.hungarian.data",
    "Switzerland": "processed.switzerland.data",
    "Long Beach": "processed.va.data",
}
Rows = Literal["complete", "all"]
DESCRIPTIONS: dict[Rows, str] = {
    "complete": "UCI Heart Disease, four hospitals, complete cases of ten predictors",
    "all": "UCI Heart Disease, four hospitals, all rows and thirteen predictors",
}

_MEGABYTES = 16  # of a file; each has 30 kB
_MOSTLY_MISSING = ["slope", "ca", "thal"]
_COLUMNS = [
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
    *_MOSTLY_MISSING,
    "num",
]
_LEVELS = {
    "cp": {1: "typical angina", 2: "atypical angina", 3: "non-anginal pain", 4: "asymptomatic"},
    "restecg": {0: "normal", 1: "ST-T abnormality", 2: "left ventricular hypertrophy"},
    "slope": {1: "upsloping", 2: "flat", 3: "downsloping"},
    "thal": {3: "normal", 6: "fixed defect", 7: "reversible defect"},
}
#: No living patient has one of these at 0: all 123 of Switzerland and 49 of Long Beach have chol 0.
_ZERO_IS_MISSING = ["trestbps", "chol"]
_WHERE = (
    "They can be had from the UCI Machine Learning Repository (dataset 45, Heart Disease); "
    "name their folder with --params=heart_folder=DIR."
)


def read_hospitals(folder: Path, rows: Rows) -> tuple[pd.DataFrame, Origin]:
    """Read the four files into one table.

    Args:
        folder: holds ``processed.{cleveland,hungarian,switzerland,va}.data``: 14 comma-separated
            columns without a header, ``?`` = missing.
        rows: ``complete``: the 740 rows that have ten predictors, as 13 numbers (8 as measured;
            dummies of ``cp`` and ``restecg`` without their first level). ``all``: the 920 rows
            with 13 predictors, of which ``cp``, ``restecg``, ``slope`` and ``thal`` are texts, and
            ``trestbps`` and ``chol`` of 0 are missing.

    Returns:
        hospital, patient (hospital and number of the line), disease (1 where ``num`` > 0), and the
        predictors, sorted by hospital and patient; and where they came from.

    Raises:
        InputError: a file is missing, or a value is not a number or no code.
    """
    raw = pd.concat(
        {hospital: _read_file(folder / name) for hospital, name in HOSPITALS.items()},
        names=["hospital", "line"],
    )
    if rows == "complete":
        raw = raw.drop(columns=_MOSTLY_MISSING).dropna()
    raw = raw.reset_index().astype({"hospital": "str"})
    identity = pd.DataFrame(
        {
            "hospital": raw["hospital"],
            "patient": raw["hospital"] + " " + raw["line"].add(1).astype("str").str.zfill(3),
            "disease": raw["num"].gt(0).astype("int8"),
        }
    )
    predictors = raw.drop(columns=["hospital", "line", "num"])
    encoded = _dummies(predictors) if rows == "complete" else _texts(predictors)
    table = pd.concat([identity, encoded], axis=1).sort_values(["hospital", "patient"])
    return table.reset_index(drop=True), Origin(f"the hospitals' files in {folder}", "row", 1)


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} does not exist: the four files of Heart Disease. {_WHERE}")
    data = io.BytesIO(read_regular(path, _MEGABYTES))
    text = pd.read_csv(data, header=None, dtype="str", na_values="?", keep_default_na=False)
    text = text.apply(normal_cells)
    if text.shape[1] != len(_COLUMNS):
        raise InputError(
            f"{path} has {text.shape[1]} columns where {len(_COLUMNS)} are expected. {_WHERE}"
        )
    text.columns = pd.Index(_COLUMNS)
    numbers = text.apply(pd.to_numeric, errors="coerce")
    for column in _COLUMNS:
        wrong = numbers[column].isna() & text[column].notna()
        said = "is not a number"
        if column in _LEVELS and not wrong.any():
            wrong = numbers[column].notna() & ~numbers[column].isin(_LEVELS[column])
            said = f"is none of {', '.join(map(str, _LEVELS[column]))}"
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise InputError(
                f"{path}, row {row + 1}, column {column}: {text.loc[row, column]!r} {said}. "
                "Correct the file; a missing value is written as '?'."
            )
    return numbers


def _dummies(predictors: pd.DataFrame) -> pd.DataFrame:
    """Dummies against fixed levels, so that every hospital gets the same columns."""
    levels = {name: pd.CategoricalDtype(list(_LEVELS[name])) for name in ("cp", "restecg")}
    return pd.get_dummies(predictors.astype(levels), drop_first=True).astype("float32")


def _texts(predictors: pd.DataFrame) -> pd.DataFrame:
    """Codes as the texts they stand for; a zero that is none as missing."""
    return predictors.assign(
        **{name: predictors[name].mask(predictors[name].eq(0)) for name in _ZERO_IS_MISSING},
        **{name: predictors[name].map(words).astype("str") for name, words in _LEVELS.items()},
    )
