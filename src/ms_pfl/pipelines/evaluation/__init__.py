"""From predictions to metrics: nothing here knows a model."""
