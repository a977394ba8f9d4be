"""What happens around a `kedro run`: checks, records, readable errors, MLflow, a summary."""
