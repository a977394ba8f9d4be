"""The names and values that charts are made from."""

from __future__ import annotations

import pandas as pd

from ms_pfl.tracking.points import country_points, parent_points


def rows(values: list[tuple[str, str, float]]) -> pd.DataFrame:
    """One fit's metrics: metric, country ("" is pooled), value."""
    return pd.DataFrame(
        [
            {
                "paradigm": "fine_tuned",
                "strategy": "fedavg",
                "seed": seed,
                "scope": "country" if country else "pooled",
                "country": country,
                "metric": metric,
                "value": value + 0.25 * seed,
                "n_episodes": 4,
                "n_positive": 2,
                "n_countries": 1,
                "n_left_out": 0,
            }
            for seed in (0, 1)
            for metric, country, value in values
        ]
    )


def test_parent_has_interval_and_gain_of_the_headline_metric_alone() -> None:
    own = {"paradigm": "fine_tuned", "strategy": "fedavg", "country": ""}
    estimates = pd.DataFrame(
        [
            {**own, "scope": scope, "metric": metric, "value": 0.5, "low": 0.25, "high": 0.75}
            for scope, metric in (
                ("pooled", "roc_auc"),
                ("weighted", "roc_auc"),
                ("macro", "brier"),
            )
        ]
    )
    gains = pd.DataFrame(
        [
            {
                **own,
                "reference": reference,
                "reference_strategy": strategy,
                "scope": "macro",
                "metric": "roc_auc",
                "difference": 0.5,
                "low": -0.125,
                "high": 1.0,
            }
            # one reference is another paradigm, one another strategy
            for reference, strategy in (
                ("federated", "fedavg"),
                ("local", "none"),
                ("federated", "fedprox"),
            )
        ]
    )
    found = parent_points(rows([("brier", "", 0.0), ("roc_auc", "", 0.5)]), estimates, gains)
    assert found == [
        ("roc_auc_pooled/fine_tuned.fedavg", 0.625, 0),
        ("roc_auc_pooled_low/fine_tuned.fedavg", 0.25, 0),
        ("roc_auc_pooled_high/fine_tuned.fedavg", 0.75, 0),
        ("gain_roc_auc_macro/fine_tuned.fedavg", 0.5, 0),
        ("gain_roc_auc_macro_low/fine_tuned.fedavg", -0.125, 0),
        ("gain_roc_auc_macro_high/fine_tuned.fedavg", 1.0, 0),
        ("brier_pooled/fine_tuned.fedavg", 0.125, 0),
    ]


def test_countries_have_no_calibration_of_their_own() -> None:
    table = rows([("brier", "Chad", 0.5), ("calibration_slope", "Chad", 1.0), ("brier", "", 0.25)])
    found = country_points(table[table["seed"] == 0], {"Chad": "Chad"})
    assert found == [("brier_by_country/Chad", 0.5, 0)]
