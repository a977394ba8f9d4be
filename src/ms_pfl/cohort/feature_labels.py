"""How people read the features of an episode, one by one.

What belongs together stands in :mod:`ms_pfl.cohort.feature_groups`; docs/labels.md has the rules.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Label(NamedTuple):
    """What a feature is called.

    Attributes:
        name: in full words, short enough for a figure.
        unit: of its values; empty where they have none.
    """

    name: str
    unit: str = ""


#: Of the registry cohort's 42 features; the window is ``cohort.observation_window_days``.
FEATURE_LABELS: dict[str, Label] = {
    "SEX_FEMALE": Label("Female sex"),
    "AGE_AT_0": Label("Age", "years"),
    "AGE_AT_ONSET": Label("Age at onset", "years"),
    "DISEASE_DURATION_AT_0": Label("Disease duration", "years"),
    "COURSE_AT_0_RR": Label("Relapsing-remitting course"),
    "COURSE_AT_0_SP": Label("Secondary progressive course"),
    "COURSE_AT_0_PP": Label("Primary progressive course"),
    "COURSE_AT_0_OTHER": Label("Other course"),
    "ONSET_SUPRATENTORIAL": Label("Supratentorial onset"),
    "ONSET_OPTIC": Label("Optic onset"),
    "ONSET_BRAINSTEM": Label("Brainstem onset"),
    "ONSET_SPINAL": Label("Spinal onset"),
    "EDUCATION": Label("Education"),
    "EDUCATION_MISSING": Label("Education not recorded"),
    "EDSS_at_0": Label("EDSS at the visit", "points"),
    "KFS_1_AT_0": Label("Pyramidal score", "points"),
    "KFS_2_AT_0": Label("Cerebellar score", "points"),
    "KFS_3_AT_0": Label("Brainstem score", "points"),
    "KFS_4_AT_0": Label("Sensory score", "points"),
    "KFS_5_AT_0": Label("Bowel and bladder score", "points"),
    "KFS_6_AT_0": Label("Visual score", "points"),
    "KFS_7_AT_0": Label("Cerebral score", "points"),
    "KFS_AMBULATION_AT_0": Label("Ambulation score", "points"),
    "DMT_AT_0_Mild": Label("Therapy of mild efficacy"),
    "DMT_AT_0_Moderate": Label("Therapy of moderate efficacy"),
    "DMT_AT_0_High": Label("Therapy of high efficacy"),
    "DMT_IND_AT_0_High_Induction": Label("Induction therapy"),
    "YEARS_ON_DMT_AT_0": Label("Time on the present therapy", "years"),
    "EARLIER_DMTS": Label("Earlier therapies"),
    "EDSS_PREVIOUS_1": Label("Previous EDSS", "points"),
    "EDSS_PREVIOUS_2": Label("EDSS before the previous one", "points"),
    "DAYS_SINCE_PREVIOUS_1": Label("Time since the previous EDSS", "days"),
    "DAYS_SINCE_PREVIOUS_2": Label("Time since the EDSS before it", "days"),
    "EDSS_MEAN_IN_WINDOW": Label("Mean EDSS in the window", "points"),
    "EDSS_SD_IN_WINDOW": Label("SD of the EDSS in the window", "points"),
    "EDSS_MIN_IN_WINDOW": Label("Lowest EDSS in the window", "points"),
    "EDSS_MAX_IN_WINDOW": Label("Highest EDSS in the window", "points"),
    "EDSS_CHANGE_IN_WINDOW": Label("Change of EDSS in the window", "points"),
    "VISITS_IN_WINDOW": Label("Visits in the window"),
    "RELAPSES_IN_WINDOW": Label("Relapses in the window"),
    "RELAPSES_LAST_YEAR": Label("Relapses in the last year"),
    "DAYS_SINCE_RELAPSE": Label("Time since the last relapse", "days"),
}


def feature_label(feature: str, vocabulary: Mapping[str, object] | None) -> Label:
    """Return what a feature is called.

    Args:
        feature: its column of the episodes table.
        vocabulary: of a custom table, whose features keep their names; None: of a registry.

    >>> feature_label("AGE_AT_0", None), feature_label("lesions", None)
    (Label(name='Age', unit='years'), Label(name='lesions', unit=''))
    """
    known = FEATURE_LABELS if vocabulary is None else {}
    return known.get(feature, Label(feature))
