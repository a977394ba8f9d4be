"""Models as MLflow serves them: files that MLflow runs when it loads a model of a run."""
