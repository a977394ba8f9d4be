"""The latest visit of each patient, with its features, as far as a model may be asked about it.

The same rules and the same code as of the episodes, up to the visit; what needs the future (time
in the registry, follow-up, confirmation) and what only thins the visits out (their distance) is
not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ms_pfl.cohort.episodes import known_at_visit
from ms_pfl.cohort.features import build_features
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import away_from_relapse, date_where, event_keys, slot_start, visit_days
from ms_pfl.cohort.worsening import REASONS
from ms_pfl.registry.ingest.tables import RegistryTables

NO_VISIT = "No visit"


def latest_visits(
    tables: RegistryTables,
    parameters: CohortParameters,
    recorded_since: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """The latest visit of each patient.

    Args:
        tables: canonical tables, as :func:`ms_pfl.registry.ingest.tables.ingest` gives them.
        parameters: eligibility, observation window (days), treatment classes.
        recorded_since: as for :func:`ms_pfl.cohort.features.build_features`.

    Returns:
        One row a patient, sorted by country and patient_id: patient_id, country, visit_date
        (missing without a visit), not_scored_because (the first stage of the attrition that the
        visit does not pass, in its words; ``""`` where it passes all), then the features
        (float32; NaN = missing, and all NaN where the visit does not pass).
    """
    person = tables.patients.set_index("PATIENT_ID").sort_index()
    patients = person.index
    days = visit_days(tables.visits, patients)
    # position of each patient's last day with a visit; of one without any, somebody else's or -1
    last = np.searchsorted(days.key, slot_start(np.arange(1, len(patients) + 1))) - 1
    visited = np.append(days.code, -1)[last] == np.arange(len(patients))
    reason = np.where(visited, "", NO_VISIT).astype(object)
    stages = known_at_visit(tables, person, days, parameters)
    if parameters.baseline_away_from_relapse:
        onsets = event_keys(
            tables.relapses["PATIENT_ID"], tables.relapses["DATE_OF_ONSET"], patients
        )
        away = away_from_relapse(days.key, onsets, parameters.relapse_exclusion_days)
        stages.append(("Baseline", REASONS["baseline_at_relapse"], away))
    for _, text, passed in stages:
        reason[(reason == "") & ~np.append(passed, True)[last]] = text
    table = pd.DataFrame(
        {
            "patient_id": pd.Series(patients.to_numpy(), dtype="str"),
            "country": pd.Series(person["country"].to_numpy(), dtype="str"),
            "visit_date": date_where(visited, np.append(days.key, 0)[last]),
            "not_scored_because": pd.Series(reason, dtype="str"),
        }
    )
    passed_all = table[table["not_scored_because"] == ""]
    anchors = passed_all[["patient_id"]].assign(t0=passed_all["visit_date"])
    features = build_features(tables, anchors, parameters, recorded_since)
    return table.join(features).sort_values(["country", "patient_id"], ignore_index=True)


def treatment_recorded_since(episodes: pd.DataFrame) -> dict[str, int]:
    """By country the year of its first episode with a known treatment.

    With it :func:`latest_visits` tells a country that records no treatment from a few new patients
    who have had none, without a date of anybody.

    Args:
        episodes: the episodes of a registry: country, t0 and the features.
    """
    known = episodes[episodes["YEARS_ON_DMT_AT_0"].notna()]
    years = known.groupby("country")["t0"].min().dt.year
    return {str(country): int(year) for country, year in years.items()}
