"""Learning curves and traffic come from the history of the trainings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.reporting.curves import draw_learning_curves, traffic_table


def test_learning_curves_have_a_line_a_seed(history: pd.DataFrame) -> None:
    curves = learning_curves(history)
    figure = draw_learning_curves(curves)
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles == ["Centralized", "Local", "Federated", "Fine-tuned", "Adaptive"]
    federated = figure.axes[2]
    # 2 strategies x 3 seeds, each a line and its dot
    assert len(federated.lines) == 12
    own = curves[(curves.paradigm == "federated") & (curves.strategy == "fedavg")]
    first = own[own.seed == 0]
    np.testing.assert_allclose(federated.lines[0].get_ydata(), first["validation_log_loss"])
    assert federated.lines[1].get_xdata().tolist() == first["round"][first["selected"]].tolist()


def test_traffic_is_a_mean_a_message_and_a_sum_a_seed(history: pd.DataFrame) -> None:
    """Seven countries, 12 rounds, 4 kB each way a round: 7 x 12 x 8 kB = 0.672 MB per seed."""
    found = traffic_table(history, "hospital").set_index("Model")
    assert list(found.columns) == [
        "Rounds", "kB up per hospital and round", "kB down per hospital and round",
        "MB in total per seed",
    ]  # fmt: skip
    assert found.loc["Federated FedAvg"].tolist() == ["12", "4.0", "4.0", "0.7"]
    assert found.loc["Local"].tolist()[:2] == ["–", "–"]
    longer = history.copy()
    one = (longer["paradigm"] == "federated") & (longer["seed"] == 1) & (longer["round"] > 9)
    shown = traffic_table(longer[~one]).set_index("Model")
    assert shown.loc["Federated FedProx", "Rounds"] == "9 to 12"
