"""Personalized federated learning for multi-centre multiple sclerosis registries."""

from importlib import import_module, metadata
from typing import Any

__version__ = metadata.version("ms-pfl")


def __getattr__(name: str) -> Any:
    """``ms_pfl.predict``, imported when it is asked for, with the heavy libraries behind it."""
    if name == "predict":
        return import_module("ms_pfl.prediction.new_patients").predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
