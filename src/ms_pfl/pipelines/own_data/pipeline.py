"""A multi-site table of one's own -> episodes and the vocabulary they are encoded with."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.own_data.nodes import read_own_episodes
from ms_pfl.pipelines.preprocessing.pipeline import NAMESPACE


def create_pipeline() -> Pipeline:
    """``params:episodes_file`` (or what there is instead) -> ``episodes``, ``vocabulary``."""
    return Pipeline(
        [
            Node(
                func=read_own_episodes,
                inputs=[
                    "params:episodes_file",
                    "params:own_episodes",
                    "params:heart_folder",
                    "params:heart_rows",
                    "earlier_episodes",
                    "earlier_provenance",
                ],
                outputs=["episodes_provenance", "episodes", "vocabulary"],
                name="read_own_episodes",
                namespace=NAMESPACE,
            )
        ]
    )
