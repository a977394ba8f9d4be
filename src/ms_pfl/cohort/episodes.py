"""Labelled episodes with features, and the attrition on the way from the registry to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ms_pfl.cohort.features import FEATURES, build_features, course_at
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import code_of, date_of, event_keys, visit_days
from ms_pfl.cohort.worsening import REASONS, label_days
from ms_pfl.errors import InputError
from ms_pfl.registry.checks import FUTURE_VISIT_DAYS
from ms_pfl.registry.contract import COURSES
from ms_pfl.registry.tables import RegistryTables

#: Columns of an episodes table before its features.
ID_COLUMNS: tuple[str, ...] = ("episode_id", "patient_id", "country", "t0", "label")


def build_episodes(
    tables: RegistryTables, parameters: CohortParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn registry tables into labelled episodes.

    Args:
        tables: canonical tables, as :func:`ms_pfl.registry.tables.read_folder` gives them.
        parameters: eligibility, outcome rule, windows.

    Returns:
        episodes: episode_id, patient_id, country, t0, label (int8), then the 42 features
            (float32, NaN = missing), sorted by country, patient_id, t0. ``attrs["source"]`` says
            where the tables came from.
        attrition: one row a stage: stage, reason, patients and episodes that remain,
            patients_dropped and episodes_dropped by it. Before the last stage an episode is a
            day with a visit, those in the future included that the ingest left out.

    Raises:
        InputError: no labelled episode remains; the message names the stage that took the most.
    """
    patients = pd.Index(tables.patients["PATIENT_ID"]).sort_values()
    days = visit_days(tables.visits, patients)
    onsets = event_keys(tables.relapses["PATIENT_ID"], tables.relapses["DATE_OF_ONSET"], patients)
    anchors = label_days(days, onsets, parameters)
    person = tables.patients.set_index("PATIENT_ID").reindex(patients)
    row = person.iloc[days.code]

    flow = _Flow(days.code, len(patients), tables.visits.attrs.get(FUTURE_VISIT_DAYS, 0))
    flow.keep("Visits", "Visit without an EDSS score", days.scored)
    if not parameters.include_cis:
        course = course_at(days, tables.visits["MSCOURSE_AT_VISIT"])
        flow.keep("Course", "Clinically isolated syndrome at the visit", course != _CIS)
    flow.keep(
        "Age",
        f"Younger than {parameters.minimum_age_years} years at the visit",
        ~(_age(row["BIRTH_DATE"].to_numpy(), date_of(days.key)) < parameters.minimum_age_years),
    )
    first, last = _record(days.key, days.code, len(patients))
    # A missing onset compares as no.
    early = row["MS_ONSET_DATE"].to_numpy() < np.datetime64(f"{parameters.earliest_year}", "us")
    early |= date_of(first[days.code]) < np.datetime64(f"{parameters.earliest_year}", "us")
    flow.keep("Era", f"Onset or first visit before {parameters.earliest_year}", ~early)
    flow.keep(
        "Time in the registry",
        f"Less than {parameters.minimum_registry_days} days from the first to the last visit",
        (last - first)[days.code] >= parameters.minimum_registry_days,
    )
    reason = np.full(len(days.key), "", dtype=object)
    reason[days.scored] = anchors["reason"].fillna("").to_numpy(dtype=object)
    flow.keep("History", _history_text(parameters), reason != "history")
    if parameters.minimum_gap_days > 0:
        flow.keep(
            "Distance of episodes",
            f"Less than {parameters.minimum_gap_days} days after the patient's last episode",
            _spaced(days.key, flow.kept, parameters.minimum_gap_days),
        )
    for name, stage in _OUTCOME_STAGES.items():
        if name != "baseline_at_relapse" or parameters.baseline_away_from_relapse:
            flow.keep(stage, REASONS[name], reason != name)
    attrition = flow.table()
    if not flow.kept.any():
        worst = attrition.iloc[int(attrition["episodes_dropped"].to_numpy().argmax())]
        raise InputError(
            "no labelled episode remains of "
            f"{attrition['episodes'].iloc[0]} visits of {len(patients)} patients; "
            f"most were dropped for: {worst['reason']} ({worst['episodes_dropped']} visits); "
            "more follow-up, or wider windows in the cohort parameters, are needed"
        )
    chosen = anchors.loc[flow.kept[days.scored], ["patient_id", "t0", "label"]].reset_index(
        drop=True
    )
    day = np.datetime_as_string(chosen["t0"].to_numpy(), unit="D")
    episodes = pd.DataFrame(
        {
            "episode_id": chosen["patient_id"] + "@" + pd.Series(day, dtype="str"),
            "patient_id": chosen["patient_id"],
            "country": pd.Series(row["country"].to_numpy()[flow.kept], dtype="str"),
            "t0": chosen["t0"],
            "label": chosen["label"].astype(np.int8),
        }
    )
    episodes = pd.concat([episodes, build_features(tables, chosen, parameters)], axis=1)
    episodes = episodes.sort_values(
        ["country", "patient_id", "t0", "episode_id"], ignore_index=True
    )[[*ID_COLUMNS, *FEATURES]]
    source = tables.patients.attrs.get(
        "source", {"kind": "own", "description": "registry tables in memory"}
    )
    episodes.attrs = {"source": dict(source)}
    attrition.attrs = {"source": dict(source)}
    return episodes, attrition


_CIS = COURSES.index("CIS")
_OUTCOME_STAGES = {
    "baseline_at_relapse": "Baseline",
    "no_estar": "Follow-up",
    "no_estar_only_relapse_time": "Follow-up",
    "no_closing_estar_low": "Confirmation",
    "no_closing_estar_high": "Confirmation",
}


def _history_text(parameters: CohortParameters) -> str:
    return (
        f"Fewer than {parameters.minimum_edss} days with an EDSS score in the "
        f"{parameters.observation_window_days} days up to the visit"
    )


@dataclass
class _Flow:
    """Which visit days remain, and a row for each stage that was passed."""

    code: np.ndarray
    n_patients: int
    n_future: int
    rows: list[tuple[str, str, int, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = np.ones(len(self.code), dtype=bool)
        people, visits, future = self.n_patients, len(self.code), self.n_future
        self.rows.append(("Registry", "People in the registry", people, visits + future, 0, 0))
        if future:
            # Who has no other visit goes with the next stage, as everybody without one does.
            self.rows.append(("Dates", "Visit dated in the future", people, visits, 0, future))

    def keep(self, stage: str, reason: str, condition: np.ndarray) -> None:
        """Drop what does not meet a condition, and count it."""
        _, _, patients, episodes, _, _ = self.rows[-1]
        self.kept = self.kept & condition
        left = len(np.unique(self.code[self.kept]))
        remaining = int(self.kept.sum())
        self.rows.append((stage, reason, left, remaining, patients - left, episodes - remaining))

    def table(self) -> pd.DataFrame:
        """The attrition table, closed by what remains."""
        _, _, patients, episodes, _, _ = self.rows[-1]
        rows = [*self.rows, ("Episodes", "Labelled episodes", patients, episodes, 0, 0)]
        names = ["stage", "reason", "patients", "episodes", "patients_dropped", "episodes_dropped"]
        return pd.DataFrame(rows, columns=names).astype({"stage": "str", "reason": "str"})


def _age(birth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Completed years between two days (datetime64); NaN where the birth is unknown.

    Whoever was born on 29 February comes of age on 1 March of a common year.
    """
    years = at.astype("datetime64[Y]").astype(np.int64) - birth.astype("datetime64[Y]").astype(
        np.int64
    )
    birthday = _day_of_year(birth) > _day_of_year(at)
    return np.where(np.isnat(birth), np.nan, years - birthday)


def _day_of_year(date: np.ndarray) -> np.ndarray:
    month = date.astype("datetime64[M]")
    day = (date.astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
    return month.astype(np.int64) % 12 * 31 + day


def _record(key: np.ndarray, code: np.ndarray, n_patients: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the first and the last visit of each patient (0 where there is none)."""
    first, last = np.zeros(n_patients, dtype=np.int64), np.zeros(n_patients, dtype=np.int64)
    first[code[::-1]] = key[::-1]
    last[code] = key
    return first, last


def _spaced(key: np.ndarray, eligible: np.ndarray, gap: int) -> np.ndarray:
    """Of the eligible days the first of each patient, and each next one at least `gap` days on.

    One step takes the next episode of all patients at once.
    """
    index = np.flatnonzero(eligible)
    chosen = np.zeros(len(key), dtype=bool)
    candidates = key[index]
    code = code_of(candidates)
    current = np.flatnonzero(np.r_[True, code[1:] != code[:-1]]) if len(index) else index
    while len(current):
        chosen[index[current]] = True
        following = np.searchsorted(candidates, candidates[current] + gap, "left")
        inside = following < len(candidates)
        current, following = current[inside], following[inside]
        current = following[code[following] == code[current]]
    return chosen
