"""Every feature of the registry cohort has a name for people, and no two have the same."""

from __future__ import annotations

from ms_pfl.cohort.feature_labels import FEATURE_LABELS, Label, feature_label
from ms_pfl.cohort.features import FEATURES
from ms_pfl.reporting.figures import short_name


def test_the_42_features_have_names_of_their_own() -> None:
    assert tuple(FEATURE_LABELS) == FEATURES
    names = [label.name for label in FEATURE_LABELS.values()]
    assert len(set(names)) == 42
    assert [short_name(name) for name in names] == names, "short enough for a figure"


def test_features_of_a_custom_table_keep_their_names() -> None:
    assert feature_label("AGE_AT_0", None) == Label("Age", "years")
    assert feature_label("AGE_AT_0", {"columns": ["AGE_AT_0"]}) == Label("AGE_AT_0")
    assert feature_label("sex=f", None) == Label("sex=f")
