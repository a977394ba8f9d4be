"""Features that belong together: what is looked at as one when one asks what a model uses.

Columns that say nearly the same (an EDSS now, its mean and its maximum of the last years) stand in
for each other, so that one alone seems to matter little whichever a model reads. Together they
show what the model takes from them.
"""

from collections.abc import Mapping, Sequence

from ms_pfl.cohort.custom.vocabulary import Vocabulary, feature_names
from ms_pfl.registry.contract import FUNCTIONAL_SYSTEMS, ONSET_SITES

#: Groups of the registry cohort's 42 features, by names for people.
FEATURE_GROUPS: dict[str, tuple[str, ...]] = {
    "EDSS level": (
        "EDSS_at_0",
        "EDSS_PREVIOUS_1",
        "EDSS_PREVIOUS_2",
        "EDSS_MEAN_IN_WINDOW",
        "EDSS_MIN_IN_WINDOW",
        "EDSS_MAX_IN_WINDOW",
    ),
    "EDSS change": ("EDSS_SD_IN_WINDOW", "EDSS_CHANGE_IN_WINDOW"),
    "Functional systems": tuple(f"{system}_AT_0" for system in FUNCTIONAL_SYSTEMS),
    "Disease course": tuple(f"COURSE_AT_0_{name}" for name in ("RR", "SP", "PP", "OTHER")),
    "Age and disease duration": ("AGE_AT_0", "AGE_AT_ONSET", "DISEASE_DURATION_AT_0"),
    "Sex": ("SEX_FEMALE",),
    "Education": ("EDUCATION", "EDUCATION_MISSING"),
    "Symptoms at onset": ONSET_SITES,
    "Relapses": ("RELAPSES_IN_WINDOW", "RELAPSES_LAST_YEAR", "DAYS_SINCE_RELAPSE"),
    "Treatment": (
        "DMT_AT_0_Mild",
        "DMT_AT_0_Moderate",
        "DMT_AT_0_High",
        "DMT_IND_AT_0_High_Induction",
        "YEARS_ON_DMT_AT_0",
        "EARLIER_DMTS",
    ),
    "Visit frequency": ("DAYS_SINCE_PREVIOUS_1", "DAYS_SINCE_PREVIOUS_2", "VISITS_IN_WINDOW"),
}


def feature_groups(
    features: Sequence[str], vocabulary: Vocabulary | Mapping[str, object] | None
) -> dict[str, tuple[str, ...]]:
    """Return groups of the features of an episodes table; each feature is in one of them.

    Args:
        features: the feature columns.
        vocabulary: of a custom table, also as plain JSON: each column of that table is a group, of
            its levels and its indicator. None: the groups of the registry cohort.

    Returns:
        Columns by the group's name. A feature that neither the vocabulary nor the registry cohort
        knows is a group of its own.

    >>> feature_groups(["SEX_FEMALE", "EDSS_at_0", "EDSS_PREVIOUS_1", "lesions"], None)
    {'EDSS level': ('EDSS_at_0', 'EDSS_PREVIOUS_1'), 'Sex': ('SEX_FEMALE',), \
'lesions': ('lesions',)}
    """
    known = FEATURE_GROUPS if vocabulary is None else _of_columns(vocabulary)
    present = set(features)
    groups = {
        name: own
        for name, columns in known.items()
        if (own := tuple(column for column in columns if column in present))
    }
    grouped = {column for columns in groups.values() for column in columns}
    return groups | {name: (name,) for name in features if name not in grouped}


def _of_columns(vocabulary: Vocabulary | Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the features of each column of a custom table."""
    whole = Vocabulary.model_validate(vocabulary)
    return {
        column: tuple(feature_names(whole.model_copy(update={"columns": (column,)})))
        for column in whole.columns
    }
