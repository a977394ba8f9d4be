"""Every feature is in one group, of the registry cohort and of a custom table."""

from __future__ import annotations

import pandas as pd

from ms_pfl.cohort.custom.vocabulary import feature_names, site_vocabulary
from ms_pfl.cohort.feature_groups import FEATURE_GROUPS, feature_groups
from ms_pfl.cohort.features import FEATURES


def test_the_groups_part_the_42_features() -> None:
    grouped = [column for columns in FEATURE_GROUPS.values() for column in columns]
    assert len(grouped) == len(set(grouped)) == 42
    assert set(grouped) == set(FEATURES)
    assert feature_groups(FEATURES, None) == FEATURE_GROUPS


def test_a_column_of_ones_own_table_brings_its_levels_and_its_indicator() -> None:
    rows = pd.DataFrame({"sex": ["m", "f", None], "age": [61.0, 48.0, 55.0], "a=b": [1.0, None, 2]})
    vocabulary = site_vocabulary(rows, missing_indicators=True)
    # as it comes back from a file
    found = feature_groups(feature_names(vocabulary), vocabulary.model_dump(mode="json"))
    assert found == {
        "sex": ("sex=f", "sex=m", "sex missing"),
        "age": ("age",),
        "a=b": ("a=b", "a=b missing"),
    }


def test_a_feature_that_nobody_knows_is_a_group_of_its_own() -> None:
    assert feature_groups(["lesions", "SEX_FEMALE"], None) == {
        "Sex": ("SEX_FEMALE",),
        "lesions": ("lesions",),
    }
