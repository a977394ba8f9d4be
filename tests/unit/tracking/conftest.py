"""Realistic fits, see ``fits_fixtures``."""

from fits_fixtures import episodes, history, metrics, predictions

__all__ = ["episodes", "history", "metrics", "predictions"]
