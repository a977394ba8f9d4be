"""Personalized federated learning for multi-centre multiple sclerosis registries."""

__version__ = "0.1.0"
