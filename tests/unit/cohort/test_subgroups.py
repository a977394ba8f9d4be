"""The subgroups of an episode."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.cohort.subgroups import AGE_BANDS, COURSES, SEX, TREATMENTS, assign_subgroups


def test_subgroups_of_an_episode() -> None:
    nothing = np.nan
    episodes = pd.DataFrame(
        {
            "episode_id": ["a", "b", "c"],
            "SEX_FEMALE": [1.0, 0.0, nothing],
            "AGE_AT_0": [29.99, 50.0, nothing],
            "COURSE_AT_0_RR": [1.0, 0.0, nothing],
            "COURSE_AT_0_SP": [0.0, 1.0, nothing],
            "COURSE_AT_0_PP": [0.0, 0.0, nothing],
            "COURSE_AT_0_OTHER": [0.0, 0.0, nothing],
            "DMT_AT_0_Mild": [0.0, 1.0, nothing],
            "DMT_AT_0_Moderate": [0.0, 0.0, nothing],
            "DMT_AT_0_High": [0.0, 1.0, nothing],
            "DMT_IND_AT_0_High_Induction": [0.0, 0.0, nothing],
        }
    )
    found = assign_subgroups(episodes).set_index("episode_id")
    assert found.loc["a"].tolist() == [SEX[0], AGE_BANDS[0], COURSES[0], TREATMENTS[0]]
    assert found.loc["b"].tolist() == [SEX[1], AGE_BANDS[3], COURSES[1], TREATMENTS[3]]
    assert found.loc["c"].isna().all()
    own_table = episodes[["episode_id"]].assign(cholesterol=1.0)
    assert assign_subgroups(own_table).columns.tolist() == ["episode_id"]
