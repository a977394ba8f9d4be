"""Kedro datasets of this project; ``conf/base/catalog.yml`` names them."""

from ms_pfl.datasets.doors import (
    EarlierFile,
    MlflowRun,
    PredictorFolder,
    RegistryFolder,
    Unfinished,
)
from ms_pfl.datasets.files import (
    ArraysFile,
    CsvTable,
    FigureFile,
    JsonFile,
    ParquetTable,
    TextFile,
)

__all__ = [
    "ArraysFile",
    "CsvTable",
    "EarlierFile",
    "FigureFile",
    "JsonFile",
    "MlflowRun",
    "ParquetTable",
    "PredictorFolder",
    "RegistryFolder",
    "TextFile",
    "Unfinished",
]
