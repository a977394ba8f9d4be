"""Labelled episodes with features, and the attrition on the way from the registry to them.

Beside them the latest visit of each patient, as far as a model may be asked about it: by the same
rules and the same code, up to the visit. What needs the future (time in the registry, follow-up,
confirmation) and what only thins the visits out (their distance) is not asked for.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ms_pfl.cohort.attrition import Flow, future_days_by_country
from ms_pfl.cohort.features import build_features, course_at
from ms_pfl.cohort.outcomes import (
    OUTCOME_STAGES,
    every_outcome,
    outcome_table,
    prevalence_table,
    relapse_association,
)
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import (
    VisitDays,
    away_from_relapse,
    code_of,
    count_between,
    date_of,
    date_where,
    records_of,
    slot_start,
    span_of,
)
from ms_pfl.cohort.worsening import REASONS
from ms_pfl.errors import InputError
from ms_pfl.registry.contract import COURSES
from ms_pfl.registry.ingest.tables import RegistryTables

#: Columns of an episodes table before its features.
ID_COLUMNS: tuple[str, ...] = ("episode_id", "patient_id", "country", "t0", "label")
NO_VISIT = "No visit"
_CIS = COURSES.index("CIS")


class Cohort(NamedTuple):
    """Labelled episodes and what is known of how they came about.

    Attributes:
        episodes: episode_id, patient_id, country, t0, label (int8), then the 42 features
            (float32, NaN = missing), sorted by country, patient_id, t0.
        attrition: :meth:`ms_pfl.cohort.attrition.Flow.table`. Before the last stage an episode is
            a day with a visit, those in the future included that the ingest left out.
        attrition_by_country: the same by country.
        outcomes: :func:`ms_pfl.cohort.outcomes.outcome_table` of the episodes, in their order.
        prevalence: :func:`ms_pfl.cohort.outcomes.prevalence_table`.
    """

    episodes: pd.DataFrame
    attrition: pd.DataFrame
    attrition_by_country: pd.DataFrame
    outcomes: pd.DataFrame
    prevalence: pd.DataFrame


def build_episodes(tables: RegistryTables, parameters: CohortParameters) -> Cohort:
    """Turn registry tables into labelled episodes.

    Args:
        tables: canonical tables, as :func:`ms_pfl.registry.ingest.tables.read_folder` gives them.
        parameters: eligibility, outcome rule, windows.

    Returns:
        The cohort.

    Raises:
        InputError: no labelled episode remains; the message names the stage that took the most.
    """
    person, days, onsets = records_of(tables)
    results = every_outcome(days, onsets, parameters)
    mine = (parameters.outcome, parameters.rule)
    flow, eligible = _pass_stages(tables, person, days, results[mine]["reason"], parameters)
    attrition = flow.table()
    if not flow.kept.any():
        worst = attrition.iloc[int(attrition["episodes_dropped"].to_numpy().argmax())]
        raise InputError(
            "no labelled episode remains of "
            f"{attrition['episodes'].iloc[0]} visits of {len(person)} patients; "
            f"most were dropped for: {worst['reason']} ({worst['episodes_dropped']} visits); "
            "more follow-up, or wider windows in the cohort parameters, are needed"
        )
    chosen = np.flatnonzero(flow.kept[days.scored])
    kept = days.key[flow.kept]
    patient_id = pd.Series(person.index.to_numpy()[code_of(kept)], dtype="str")
    day = np.datetime_as_string(date_of(kept), unit="D")
    episodes = pd.DataFrame(
        {
            "episode_id": patient_id + "@" + pd.Series(day, dtype="str"),
            "patient_id": patient_id,
            "country": pd.Series(person["country"].to_numpy()[code_of(kept)], dtype="str"),
            "t0": date_of(kept),
            "label": results[mine]["label"].to_numpy()[chosen].astype(np.int8),
        }
    )
    country = pd.factorize(person["country"])[0]
    associations = {
        pair: relapse_association(
            result["worsening_date"].to_numpy(), days.code[days.scored], onsets, country, parameters
        )
        for pair, result in results.items()
    }
    outcomes = outcome_table(
        episodes,
        days.edss[flow.kept],
        {pair: result.iloc[chosen] for pair, result in results.items()},
        associations[mine][chosen],
        parameters.rule,
    )
    features = build_features(tables, episodes[["patient_id", "t0"]], parameters)
    order = episodes.sort_values(["country", "patient_id", "t0"]).index
    return Cohort(
        pd.concat([episodes, features], axis=1).loc[order].reset_index(drop=True),
        attrition,
        flow.by_country(),
        outcomes.loc[order].reset_index(drop=True),
        prevalence_table(
            {pair: result[eligible] for pair, result in results.items()},
            {pair: association[eligible] for pair, association in associations.items()},
        ),
    )


def latest_visits(
    tables: RegistryTables,
    parameters: CohortParameters,
    recorded_since: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Return the latest visit of each patient.

    Args:
        tables: canonical tables, as :func:`ms_pfl.registry.ingest.tables.ingest` gives them.
        parameters: eligibility, observation window (days), treatment classes.
        recorded_since: as for :func:`ms_pfl.cohort.features.build_features`.

    Returns:
        One row per patient, sorted by country and patient_id: patient_id, country, visit_date
        (missing without a visit), not_scored_because (the first stage of the attrition that the
        visit does not pass, in its words; ``""`` where it passes all), then the features
        (float32; NaN = missing, and all NaN where the visit does not pass).
    """
    person, days, onsets = records_of(tables)
    # position of each patient's last day with a visit; of one without any, somebody else's or -1
    last = np.searchsorted(days.key, slot_start(np.arange(1, len(person) + 1))) - 1
    visited = np.append(days.code, -1)[last] == np.arange(len(person))
    reason = np.where(visited, "", NO_VISIT).astype(object)
    stages = known_at_visit(tables, person, days, parameters)
    if parameters.baseline_away_from_relapse:
        away = away_from_relapse(days.key, onsets, parameters.relapse_exclusion_days)
        stages.append(("Baseline", REASONS["baseline_at_relapse"], away))
    for _, text, passed in stages:
        reason[(reason == "") & ~np.append(passed, True)[last]] = text
    table = pd.DataFrame(
        {
            "patient_id": pd.Series(person.index.to_numpy(), dtype="str"),
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


def _pass_stages(
    tables: RegistryTables,
    person: pd.DataFrame,
    days: VisitDays,
    why: pd.Series,
    parameters: CohortParameters,
) -> tuple[Flow, np.ndarray]:
    """Lead the visit days through eligibility and outcome.

    Args:
        tables: canonical tables.
        person: the patients table by patient code.
        days: visit days.
        why: reason for no label of each day with an EDSS, missing where there is a label.
        parameters: eligibility, the chosen outcome.

    Returns:
        The flow, which keeps the labelled episodes, and which of the days with an EDSS are
        eligible before the outcome is looked at (bool).
    """
    future = future_days_by_country(tables.future_visit_days, person["country"])
    flow = Flow(days.code, person["country"].to_numpy(), future)
    *at_visit, history = known_at_visit(tables, person, days, parameters)
    for stage, text, passed in at_visit:
        flow.keep(stage, text, passed)
    first, last = span_of(days.key)
    flow.keep(
        "Time in the registry",
        f"Less than {parameters.minimum_registry_days} days from the first to the last visit",
        last - first >= parameters.minimum_registry_days,
    )
    flow.keep(*history)
    reason = pd.Series(why.array, np.flatnonzero(days.scored)).reindex(range(len(days.key)))
    if parameters.minimum_gap_days > 0:
        flow.keep(
            "Distance of episodes",
            f"Less than {parameters.minimum_gap_days} days after the patient's last episode",
            _spaced(days.key, flow.kept, parameters.minimum_gap_days),
        )
    eligible = flow.kept[days.scored]
    for name, (stage, text) in OUTCOME_STAGES[parameters.outcome].items():
        if name != "baseline_at_relapse" or parameters.baseline_away_from_relapse:
            flow.keep(stage, text, (reason != name).to_numpy())
    return flow, eligible


def known_at_visit(
    tables: RegistryTables, person: pd.DataFrame, days: VisitDays, parameters: CohortParameters
) -> list[tuple[str, str, np.ndarray]]:
    """Return the stages that a visit day passes by what is known on that day, in their order.

    Args:
        tables: canonical tables.
        person: the patients table by patient code.
        days: visit days.
        parameters: eligibility.

    Returns:
        Of each stage its name, the reason for which it drops, and which days pass it (bool); the
        last is ``History``, the number of EDSS in the observation window.
    """
    row, day = person.iloc[days.code], date_of(days.key)
    course = []
    if not parameters.include_cis:
        known = course_at(days, tables.visits["MSCOURSE_AT_VISIT"])
        course = [("Course", "Clinically isolated syndrome at the visit", known != _CIS)]
    minor = _age(row["BIRTH_DATE"].to_numpy(), day) < parameters.minimum_age_years
    earliest = np.datetime64(f"{parameters.earliest_year}", "us")
    # A missing onset compares as no.
    early = (row["MS_ONSET_DATE"].to_numpy() < earliest) | (
        date_of(span_of(days.key)[0]) < earliest
    )
    scores, window = days.key[days.scored], parameters.observation_window_days
    n_edss = count_between(scores, days.key - window, days.key)
    return [
        ("Visits", "Visit without an EDSS score", days.scored),
        *course,
        ("Age", f"Younger than {parameters.minimum_age_years} years at the visit", ~minor),
        ("Era", f"Onset or first visit before {parameters.earliest_year}", ~early),
        (
            "History",
            f"Fewer than {parameters.minimum_edss} days with an EDSS score in the "
            f"{window} days up to the visit",
            n_edss >= parameters.minimum_edss,
        ),
    ]


def _age(birth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Completed years between two days (datetime64); NaN where the birth is unknown.

    Whoever was born on 29 February comes of age on 1 March of a common year.
    """
    born, now = pd.DatetimeIndex(birth), pd.DatetimeIndex(at)
    birthday_ahead = born.month * 31 + born.day > now.month * 31 + now.day
    return (now.year - born.year - birthday_ahead).to_numpy()


def _spaced(key: np.ndarray, eligible: np.ndarray, gap: int) -> np.ndarray:
    """Of the eligible days the first of each patient, and each next one at least `gap` days on.

    One step takes the next episode of all patients at once.
    """
    index = np.flatnonzero(eligible)
    chosen = np.zeros(len(key), dtype=bool)
    candidates = key[index]
    _, current = np.unique(code_of(candidates), return_index=True)
    while len(current):
        chosen[index[current]] = True
        following = np.searchsorted(candidates, candidates[current] + gap, "left")
        inside = following < len(candidates)
        current, following = current[inside], following[inside]
        current = following[code_of(candidates[following]) == code_of(candidates[current])]
    return chosen
