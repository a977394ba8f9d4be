"""The MLflow record of a run: one parent, one child a paradigm, strategy and seed."""
