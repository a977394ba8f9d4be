"""Table 1, figures, the HTML report and the record in MLflow."""
