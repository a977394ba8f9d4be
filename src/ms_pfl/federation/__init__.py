"""Federated learning with Flower: client app, strategies, grids, round loop; no Kedro."""
