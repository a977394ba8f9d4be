"""A predictor of the trained models, and predictions for new patients with it."""
