"""Kedro datasets of this project; ``conf/base/catalog.yml`` names them."""

from ms_pfl.datasets.files import (
    ArraysFile,
    CsvTable,
    FigureFile,
    JsonFile,
    ParquetTable,
    TextFile,
)
from ms_pfl.datasets.folders import EarlierFile, PredictorFolder, RegistryFolder, Unfinished
from ms_pfl.datasets.mlflow_run import MlflowRun

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
