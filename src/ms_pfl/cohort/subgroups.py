"""Who an episode belongs to: sex, age band, course and treatment, for scores within subgroups."""

import numpy as np
import pandas as pd

SEX = ("Women", "Men")
AGE_BANDS = ("18 to 29 years", "30 to 39 years", "40 to 49 years", "50 years and older")
COURSES = ("Relapsing-remitting", "Secondary progressive", "Primary progressive", "Other course")
TREATMENTS = (
    "No disease-modifying therapy",
    "Mild efficacy",
    "Moderate efficacy",
    "High efficacy",
    "Induction",
)
_NEEDED = ("SEX_FEMALE", "AGE_AT_0", "COURSE_AT_0_RR", "DMT_AT_0_Mild")


def assign_subgroups(episodes: pd.DataFrame) -> pd.DataFrame:
    """Read the subgroups of each episode off its features, as known at its visit.

    Under two treatments at once the more effective one counts.

    Args:
        episodes: the episodes table.

    Returns:
        A row per episode: episode_id, then ``Sex``, ``Age``, ``Course``, ``Treatment`` as ordered
        categories, missing where not known. For a custom table, which has other features,
        episode_id alone.
    """
    found = pd.DataFrame({"episode_id": episodes["episode_id"].to_numpy()})
    if not set(_NEEDED) <= set(episodes.columns):
        return found
    flags = {
        "Sex": (SEX, [episodes["SEX_FEMALE"] == 1, episodes["SEX_FEMALE"] == 0]),
        "Age": (
            AGE_BANDS,
            [
                episodes["AGE_AT_0"] < 30,
                episodes["AGE_AT_0"].between(30, 40, inclusive="left"),
                episodes["AGE_AT_0"].between(40, 50, inclusive="left"),
                episodes["AGE_AT_0"] >= 50,
            ],
        ),
        "Course": (
            COURSES,
            [episodes[f"COURSE_AT_0_{name}"] == 1 for name in ("RR", "SP", "PP", "OTHER")],
        ),
        "Treatment": (
            TREATMENTS,
            [
                episodes["DMT_AT_0_Mild"].notna(),
                *(episodes[f"DMT_AT_0_{name}"] == 1 for name in ("Mild", "Moderate", "High")),
                episodes["DMT_IND_AT_0_High_Induction"] == 1,
            ],
        ),
    }
    for name, (levels, masks) in flags.items():
        # np.select takes the first mask that holds, and the last one counts
        code = np.select(masks[::-1], list(range(len(levels)))[::-1], -1)
        found[name] = pd.Categorical.from_codes(code, pd.Index(levels), ordered=True)
    return found
