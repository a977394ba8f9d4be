"""Judges every paradigm from its predictions alone: metrics, summaries over seeds, curves."""
