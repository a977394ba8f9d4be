"""Measures a registry where there are published figures (:mod:`realism.targets`).

``benchmarks/registry_realism.py`` prints the table *target / achieved* of
``docs/synthetic-registry.md`` from it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.registry.ingest.tables import RegistryTables
from realism.targets import (
    BY_AGE,
    EDSS_COLUMNS,
    EDSS_WINDOW,
    KFS_FIGURES,
    RELAPSE_AGES,
)

_DAY = pd.Timedelta(days=1)
# Severity score of EDSS: 0, 1-3.5, 4-6, 6.5 and more, as the Australian cohort has it.
_STATES = (0.5, 3.75, 6.25)
_DRUGS = {
    "Interferon": r"interferon",
    "Glatiramer": r"glatiramer",
    "Natalizumab": r"natalizumab",
    "Fingolimod": r"fingolimod",
    "Dimethyl fumarate": r"dimethyl fumarate",
    "Teriflunomide": r"teriflunomide",
}
_NO_DMT = "azathioprine"


def measure(tables: RegistryTables) -> dict[str, float]:
    """Every figure of ``REGISTRY_TARGETS`` that the four tables tell (not the raters').

    Args:
        tables: canonical tables with all columns.

    Returns:
        Figure, in the words of :mod:`realism.targets`, and its value; NaN where nobody counts.
    """
    visits = tables.visits.merge(tables.patients, on="PATIENT_ID", validate="many_to_one")
    visits = visits.sort_values(["PATIENT_ID", "DATE_OF_VISIT"], kind="stable", ignore_index=True)
    visits["duration"] = _years(visits["DATE_OF_VISIT"], visits["MS_ONSET_DATE"])
    visits["age"] = _years(visits["DATE_OF_VISIT"], visits["BIRTH_DATE"])
    visits["drug"] = _drug_at(visits, tables.treatments)
    return (
        _first_visits(visits, tables.patients)
        | _frequency(visits)
        | _edss(visits)
        | _annual_change(_annual_pairs(visits, tables.relapses))
        | _secondary_progression(visits)
        | _relapse_rates(visits, tables)
        | _severe_relapses(visits, tables.relapses)
        | {figure: visits[name].corr(visits["EDSS"]) for name, figure in KFS_FIGURES.items()}
    )


def rater_agreement(first: pd.Series, second: np.ndarray) -> dict[str, float]:
    """How two raters of the same visits agree.

    Args:
        first: (visits,) EDSS as recorded.
        second: (visits,) EDSS of an independent rater, see ``synthetic.second_ratings``.
    """
    apart = np.abs(first.to_numpy() - second)
    return {
        "Two raters agree exactly": float((apart == 0).mean()),
        "Two raters agree within half a point": float((apart <= 0.5).mean()),
    }


def _years(later: pd.Series, earlier: pd.Series) -> pd.Series:
    return (later - earlier).dt.total_seconds() / (365.25 * 86_400)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


def _drug_at(visits: pd.DataFrame, treatments: pd.DataFrame) -> pd.Series:
    """Return the drug that a person is on at each visit, None without one.

    Azathioprine counts as none: it is not one of the disease-modifying drugs. Alemtuzumab,
    cladribine and AHSCT are recorded for days and count on the days of a course alone.
    """
    taken = treatments[treatments["dmt"] != _NO_DMT].sort_values("START_DATE")
    last = pd.merge_asof(
        visits[["PATIENT_ID", "DATE_OF_VISIT"]].reset_index().sort_values("DATE_OF_VISIT"),
        taken,
        left_on="DATE_OF_VISIT",
        right_on="START_DATE",
        by="PATIENT_ID",
    ).set_index("index")
    over = last["END_DATE"] < last["DATE_OF_VISIT"]
    return last["dmt"].mask(over).reindex(visits.index)


def _first_visits(visits: pd.DataFrame, patients: pd.DataFrame) -> dict[str, float]:
    first = visits.drop_duplicates("PATIENT_ID")
    course = first["MSCOURSE_AT_VISIT"].dropna()
    drug = first["drug"]
    return {
        "Women, share": (patients["gender"].dropna() == "F").mean(),
        "Age at first visit, mean (years)": first["age"].mean(),
        "Age at first visit, sd": first["age"].std(),
        "Disease duration at first visit, mean (years)": first["duration"].mean(),
        "Disease duration at first visit, sd": first["duration"].std(),
        "EDSS at first visit, mean": first["EDSS"].mean(),
        "EDSS at first visit, sd": first["EDSS"].std(),
        "RR or CIS at first visit, share": course.isin(["RR", "CIS"]).mean(),
        "PP or PR at first visit, share": course.isin(["PP", "PR"]).mean(),
        "SP at first visit, share": (course == "SP").mean(),
        "No treatment at first visit, share": drug.isna().mean(),
    } | {
        f"{name} at first visit, share": drug.str.contains(pattern, na=False).mean()
        for name, pattern in _DRUGS.items()
    }


def _frequency(visits: pd.DataFrame) -> dict[str, float]:
    groups = visits.groupby("PATIENT_ID")["DATE_OF_VISIT"]
    span = _years(groups.max(), groups.min())
    return {
        "Visits a person-year": (len(visits) - len(span)) / span.sum(),
        "First to last visit, mean (years)": span.mean(),
        "Gap between visits, median (days)": groups.diff().dropna().dt.days.median(),
        "Functional systems missing, share": visits["KFS_1"].isna().mean(),
    }


def _edss(visits: pd.DataFrame) -> dict[str, float]:
    """EDSS near a disease duration, or within half a year of an age."""
    found = {}
    for year, window in EDSS_WINDOW.items():
        edss = visits.loc[(visits["duration"] - year).abs() < window, "EDSS"]
        values = (
            edss.mean(), edss.std(), (edss == 0).mean(), (edss <= 2).mean(), (edss >= 4).mean(),
            (edss >= 6).mean(),
        )  # fmt: skip
        for column, value in zip(EDSS_COLUMNS, values, strict=True):
            found[f"EDSS {year} years after onset, {column}"] = value
    for age in BY_AGE:
        edss = visits.loc[(visits["age"] - age).abs() < 0.5, "EDSS"]
        found |= {f"EDSS at age {age}, mean": edss.mean(), f"EDSS at age {age}, sd": edss.std()}
    return found


def _annual_pairs(visits: pd.DataFrame, relapses: pd.DataFrame) -> pd.DataFrame:
    """Each visit with the one nearest to a year on (300-430 days), and what came in between.

    Returns:
        Columns EDSS, age, drug (of the first visit), later (EDSS of the second), relapse (bool).
    """
    left = visits[["PATIENT_ID", "DATE_OF_VISIT", "EDSS", "age", "drug"]].assign(
        then=visits["DATE_OF_VISIT"] + 365 * _DAY
    )
    right = visits[["PATIENT_ID", "DATE_OF_VISIT", "EDSS"]].sort_values("DATE_OF_VISIT")
    pairs = pd.merge_asof(
        left.sort_values("then"),
        right.rename(columns={"DATE_OF_VISIT": "date_later", "EDSS": "later"}),
        left_on="then",
        right_on="date_later",
        by="PATIENT_ID",
        direction="nearest",
        tolerance=65 * _DAY,
    ).dropna(subset=["date_later"])
    onsets = relapses[["PATIENT_ID", "DATE_OF_ONSET"]].sort_values("DATE_OF_ONSET")
    pairs = pd.merge_asof(
        pairs.sort_values("date_later"),
        onsets,
        left_on="date_later",
        right_on="DATE_OF_ONSET",
        by="PATIENT_ID",
    )
    pairs["relapse"] = pairs["DATE_OF_ONSET"] > pairs["DATE_OF_VISIT"]
    return pairs[["EDSS", "age", "drug", "later", "relapse"]]


def _annual_change(pairs: pd.DataFrame) -> dict[str, float]:
    change = pairs["later"] - pairs["EDSS"]
    treated = pairs["drug"].notna()
    still = treated & ~pairs["relapse"]
    quiet, struck = change[still], change[treated & pairs["relapse"]]
    young = change[still & (pairs["age"] <= 25)]
    older = change[still & pairs["age"].between(45, 55)]
    now = np.searchsorted(_STATES, pairs["EDSS"])
    later = np.searchsorted(_STATES, pairs["later"])

    def becomes(state: int, other: int) -> float:
        return float((later[now == state] == other).mean()) if (now == state).any() else np.nan

    return {
        "Year without a relapse, mean change": quiet.mean(),
        "Year without a relapse, sd of change": quiet.std(),
        "Year without a relapse, unchanged": (quiet == 0).mean(),
        "Year without a relapse, up >= 1": (quiet >= 1).mean(),
        "Year with a relapse, mean change": struck.mean(),
        "Year with a relapse, up >= 1": (struck >= 1).mean(),
        "Year without a relapse, up >= 1, age up to 25": (young >= 1).mean(),
        "Year without a relapse, up >= 1, age 45 to 55": (older >= 1).mean(),
        "A year on, EDSS 0 stays 0": becomes(0, 0),
        "A year on, 1-3.5 stays there": becomes(1, 1),
        "A year on, 4-6 stays there": becomes(2, 2),
        "A year on, 6.5 or more stays there": becomes(3, 3),
        "A year on, EDSS 0 becomes 1-3.5": becomes(0, 1),
        "A year on, 1-3.5 becomes 4-6": becomes(1, 2),
        "A year on, 4-6 becomes 6.5 or more": becomes(2, 3),
    }


def _secondary_progression(visits: pd.DataFrame) -> dict[str, float]:
    """First SP visits over the years from the first visit to it, or to the last one.

    Of those who came with RR or CIS.
    """
    known = visits.dropna(subset=["MSCOURSE_AT_VISIT"])
    first = known.drop_duplicates("PATIENT_ID").set_index("PATIENT_ID")
    first = first[first["MSCOURSE_AT_VISIT"].isin(["RR", "CIS"])]
    converted = known[known["MSCOURSE_AT_VISIT"] == "SP"].groupby("PATIENT_ID")["DATE_OF_VISIT"]
    turned = converted.min().reindex(first.index)
    last = known.groupby("PATIENT_ID")["DATE_OF_VISIT"].max().reindex(first.index)
    at_risk = _years(turned.fillna(last), first["DATE_OF_VISIT"])

    def rate(who: pd.Series) -> float:
        return _ratio(turned[who].notna().sum(), at_risk[who].sum())

    men, women = rate(first["gender"] == "M"), rate(first["gender"] == "F")
    return {
        "RR to SP, a person-year": _ratio(turned.notna().sum(), at_risk.sum()),
        "RR to SP, men against women": _ratio(men, women),
    }


def _relapse_rates(visits: pd.DataFrame, tables: RegistryTables) -> dict[str, float]:
    """Relapses since the first visit over the years between visits, by age then and by sex."""
    entry = visits.groupby("PATIENT_ID")["DATE_OF_VISIT"].min()
    spell = _years(visits["DATE_OF_VISIT"], visits.groupby("PATIENT_ID")["DATE_OF_VISIT"].shift())
    middle = visits["age"] - spell / 2
    relapses = tables.relapses.merge(tables.patients, on="PATIENT_ID", validate="many_to_one")
    relapses = relapses[relapses["DATE_OF_ONSET"] > relapses["PATIENT_ID"].map(entry)]
    age = _years(relapses["DATE_OF_ONSET"], relapses["BIRTH_DATE"])
    women, men = (
        _ratio((relapses["gender"] == sex).sum(), spell[visits["gender"] == sex].sum())
        for sex in "FM"
    )
    return {
        "Relapses a person-year": _ratio(len(relapses), spell.sum()),
        "Relapses, women against men": _ratio(women, men),
    } | {
        f"Relapses a person-year, age {label}": _ratio(
            age.between(low, high, inclusive="left").sum(),
            spell[middle.between(low, high, inclusive="left")].sum(),
        )
        for label, (low, high) in RELAPSE_AGES.items()
    }


def _severe_relapses(visits: pd.DataFrame, relapses: pd.DataFrame) -> dict[str, float]:
    """Severe ones (2 points or more): their share, and how often a point or more is left.

    Left is the EDSS nearest to a year after the onset (270-455 days) less the last one before it
    (a year back at most).
    """
    known = relapses.dropna(subset=["severity"])
    severe = known.loc[known["severity"] == "severe", ["PATIENT_ID", "DATE_OF_ONSET"]]
    scores = visits[["PATIENT_ID", "DATE_OF_VISIT", "EDSS"]].sort_values("DATE_OF_VISIT")
    before = pd.merge_asof(
        severe.assign(year_on=severe["DATE_OF_ONSET"] + 365 * _DAY).sort_values("DATE_OF_ONSET"),
        scores,
        left_on="DATE_OF_ONSET",
        right_on="DATE_OF_VISIT",
        by="PATIENT_ID",
        tolerance=365 * _DAY,
        allow_exact_matches=False,
    ).drop(columns="DATE_OF_VISIT")
    both = pd.merge_asof(
        before.sort_values("year_on"),
        scores.rename(columns={"EDSS": "later"}),
        left_on="year_on",
        right_on="DATE_OF_VISIT",
        by="PATIENT_ID",
        direction="nearest",
        tolerance=90 * _DAY,
    ).dropna(subset=["EDSS", "later"])
    return {
        "Severe relapses, share": (known["severity"] == "severe").mean(),
        "Severe relapse, >= 1 point left a year on": (both["later"] - both["EDSS"] >= 1).mean(),
    }
