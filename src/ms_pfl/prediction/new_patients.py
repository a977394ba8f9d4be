"""Risks of new patients from the tables of a registry, and the table that holds them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from ms_pfl.cohort.episodes import latest_visits
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.treatments import unread
from ms_pfl.errors import InputError
from ms_pfl.evaluation.ensemble import ENSEMBLE
from ms_pfl.names import listed, near_names
from ms_pfl.paradigms import paradigm_name
from ms_pfl.prediction.predictor import Predictor, read_predictor
from ms_pfl.prediction.risks import risks
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.tables import RegistryTables, ingest

#: Where a run leaves its predictor.
FOLDER = "data/06_models/predictor"
_RISKS = ["risk", "risk_low", "risk_high"]


class NewPatients(pa.DataFrameModel):
    """One row is a patient: a risk and what it stands on, or the reason why there is none."""

    patient_id: Series[str] = pa.Field(unique=True)
    country: Series[str]
    visit_date: Series[pa.DateTime] = pa.Field(nullable=True)
    model: Series[str]
    risk: Series[np.float64] = pa.Field(ge=0, le=1, nullable=True)
    risk_low: Series[np.float64] = pa.Field(ge=0, le=1, nullable=True)
    risk_high: Series[np.float64] = pa.Field(ge=0, le=1, nullable=True)
    range: Series[str]
    n_seeds: Series[np.int64] = pa.Field(ge=0)
    drivers: Series[str]
    not_scored_because: Series[str]

    class Config:  # noqa: D106 - pandera's options
        strict = True
        ordered = True

    @pa.dataframe_check(error="a patient has both a risk and a reason for none, or neither")
    def a_risk_or_a_reason(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Who is scored has all of a risk, and who is not has nothing of it."""
        scored = table["not_scored_because"] == ""
        named = table[["model", "range"]] != ""
        whole = table[_RISKS].notna().all(axis=1) & (table["n_seeds"] > 0) & named.all(axis=1)
        none = table[_RISKS].isna().all(axis=1) & (table["n_seeds"] == 0) & ~named.any(axis=1)
        return scored.where(~scored, whole) | (~scored & none)

    @pa.dataframe_check(error="the risk is outside its range")
    def risk_in_its_range(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Return whether a risk lies between the ends of its range."""
        low, high = table["risk_low"] <= table["risk"], table["risk"] <= table["risk_high"]
        return (low & high) | table["risk"].isna()


def read_new_patients(
    registry_folder: str | Path | None, predictor: Predictor, parameters: IngestParameters
) -> tuple[RegistryTables, pd.DataFrame]:
    """Return the tables of new patients, read as those of a registry are.

    Args:
        registry_folder: holds patients, visits, relapses and treatments (.csv or .parquet).
        predictor: knows the treatments.
        parameters: how the tables are spelled.

    Returns:
        The tables and the ingest report.

    Raises:
        InputError: no folder is named; the predictor is of another kind of table; an
            :class:`~ms_pfl.registry.ingest.report.IngestError`: the tables cannot be used.
    """
    if registry_folder is None:
        raise InputError(
            "No new patients are named: give the folder of their four tables (docs/ingest.md) "
            "with --params=registry_folder=DIR"
        )
    classes = _cohort(predictor).treatments
    return ingest(
        Path(registry_folder).expanduser(),
        parameters,
        unread_treatments=lambda dmt: unread(dmt, classes),
    )


def score_patients(tables: RegistryTables, predictor: Predictor) -> pd.DataFrame:
    """Return the risk of each patient at the latest visit.

    Args:
        tables: canonical tables; nothing after the latest visit is needed.
        predictor: as read.

    Returns:
        As :class:`NewPatients` has it, one row per patient, sorted by country and patient_id:
        patient_id, country, visit_date (missing without a visit), model, risk, risk_low, risk_high
        (probabilities), range (what these two are), n_seeds, drivers, not_scored_because (``""``
        where there is a risk); see :func:`ms_pfl.prediction.risks.risks`.

    Raises:
        InputError: the predictor is not of a registry's features.
    """
    told = predictor.description
    visits = latest_visits(tables, _cohort(predictor), told.treatment_recorded_since)
    scored = (visits["not_scored_because"] == "").to_numpy()
    x = visits.loc[scored, list(told.features)].to_numpy(dtype=np.float32)
    found = risks(predictor, visits.loc[scored, "country"], x, drivers=True)
    table = visits.join(found.set_index(visits.index[scored]))
    table = table.assign(
        n_seeds=np.where(scored, len(told.seeds), 0),
        **{name: table[name].fillna("").astype("str") for name in ("model", "range", "drivers")},
    )
    return NewPatients.validate(table[list(NewPatients.to_schema().columns)])


def predict(
    registry_folder: str | Path,
    predictor: str | Path | Predictor = FOLDER,
    ingest: IngestParameters | None = None,
) -> pd.DataFrame:
    """Risks of the patients of a folder at their latest visits.

    Args:
        registry_folder: holds patients, visits, relapses and treatments (.csv or .parquet) in the
            ingest contract; it is only read.
        predictor: its folder (relative to the working directory), or one that was read.
        ingest: how the tables are spelled; as the contract does where not given.

    Returns:
        One row per patient, as :func:`score_patients` gives it.

    Raises:
        InputError: the predictor or the tables cannot be used; the message says why.
    """
    opened = predictor if isinstance(predictor, Predictor) else read_predictor(predictor)
    tables, _ = read_new_patients(registry_folder, opened, ingest or IngestParameters())
    return score_patients(tables, opened)


def notes(table: pd.DataFrame, predictor: Predictor) -> list[str]:
    """Plain sentences on a table of :func:`score_patients`: how many, by what, and who not.

    Args:
        table: the risks.
        predictor: that gave them.
    """
    scored = table[table["not_scored_because"] == ""]
    told = predictor.description
    trained = scored["country"].isin(told.countries)
    kinds = scored.loc[trained, "country"].map(lambda c: told.prediction.of(str(c)).paradigm)
    by = [
        f"{(kinds == kind).sum():,} with the {_model_of(kind)} of their country "
        f"({scored.loc[kinds.index[kinds == kind], 'country'].nunique()} countries)"
        for kind in kinds.unique()
    ]
    if not trained.all():
        far = listed(sorted(scored.loc[~trained, "country"].unique()))
        by.append(
            f"{(~trained).sum():,} with the global model, as their country ({far}) took no part "
            "in training"
        )
    lines = [
        f"{len(scored):,} of {len(table):,} patients scored at their latest visit: {', '.join(by)}."
    ]
    lines += _near_countries(scored[~trained], told.countries)
    lines += _ranges(scored)
    reasons = Counter(table.loc[table["not_scored_because"] != "", "not_scored_because"])
    if reasons:
        each = (f"{reason[0].lower()}{reason[1:]} ({n:,})" for reason, n in reasons.most_common())
        lines.append(f"{reasons.total():,} not scored: {'; '.join(each)}.")
    if told.source.get("kind") == "synthetic":
        lines.append(
            "The models were trained on a SYNTHETIC registry: these risks say nothing of real "
            "patients."
        )
    return lines


def _ranges(scored: pd.DataFrame) -> list[str]:
    """Return a sentence on what the ranges of the risks are."""
    kinds = scored["range"].value_counts()
    if kinds.empty:
        return []
    told = [
        f"{kind} ({n:,} patients)" if len(kinds) > 1 else f"{kind}" for kind, n in kinds.items()
    ]
    return [f"Range of a risk (risk_low to risk_high): {'; '.join(told)}."]


def _model_of(paradigm: str) -> str:
    """Return a served model within a sentence: "adaptive model", "ensemble"."""
    name = paradigm_name(paradigm).lower()
    return name if paradigm == ENSEMBLE else f"{name} model"


def _near_countries(scored: pd.DataFrame, trained: Sequence[str]) -> list[str]:
    """Return a sentence for each untrained country whose name is near a trained one."""
    lines = []
    for country, n in sorted(scored["country"].value_counts().items()):
        alike = near_names(str(country), trained)
        if len(alike) == 1:
            # JSON's quotation marks are YAML's
            own, other = (json.dumps(name, ensure_ascii=False) for name in (country, alike[0]))
            lines.append(
                f"{own} ({n:,} patients) looks like {other}, which took part in training: if they "
                f"are one country, set ingest.values.patients.country: {{{own}: {other}}} in "
                "conf/local/parameters.yml and predict again."
            )
    return lines


def _cohort(predictor: Predictor) -> CohortParameters:
    cohort = predictor.description.cohort
    if cohort is None:
        raise InputError(
            "The predictor was made from an custom episodes table "
            f"({predictor.description.source.get('description', '')}), so it does not build "
            "features from registry tables; make one with `kedro run --pipeline=pfl`, or give "
            "rows of its features to its MLflow model"
        )
    return cohort
