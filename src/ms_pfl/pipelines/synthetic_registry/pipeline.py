"""Parameters in, a folder of four tables out."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.synthetic_registry.nodes import simulate_registry


def create_pipeline() -> Pipeline:
    """``params:synthetic_registry`` -> ``synthetic_registry`` (below ``data/01_raw``)."""
    return Pipeline(
        [
            Node(
                func=simulate_registry,
                inputs=["params:synthetic_registry", "params:registry_folder"],
                outputs="synthetic_registry",
                name="simulate_registry",
            )
        ]
    )
