"""Realistic fits, see ``fits_fixtures``."""

from fits_fixtures import episodes, findings, history, metrics, predictions

__all__ = ["episodes", "findings", "history", "metrics", "predictions"]
