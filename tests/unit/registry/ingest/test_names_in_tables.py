"""Two forms of a name are one in all tables, and names that look alike are told of."""

from __future__ import annotations

import pandas as pd
import pytest

from ingest_examples import more, write
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import ingest


def test_two_forms_of_a_country_are_one(shared_data):
    folder = shared_data("field_cases") / "registry_turkiye_two_forms"
    tables, report = ingest(folder, today=pd.Timestamp("2025-12-31"))
    assert sorted(tables.patients["country"].unique()) == ["Belgium", "Spain", "Türkiye"]
    noted = report[report["rule"] == "text_normalized"]
    assert noted["column"].tolist() == ["country"]
    assert noted["value"].tolist() == ["Tu\u0308rkiye"]
    assert "country_spelling" not in set(report["rule"])


def test_ids_and_columns_in_two_forms_are_one_in_csv_and_parquet(tmp_path):
    patients = "PATIENT_ID,\ufeffcoun\u00adtry\nÉ 1,Iran\n"
    odd = {"visits": "PATIENT_ID,DATE_OF_VISIT\u00a0,EDSS\nE\u0301\u00a01,2001-01-01,2\n"}
    folder = write(tmp_path / "own", patients=patients, relapses="PATIENT_ID,DATE_OF_ONSET\n",
                   treatments="PATIENT_ID,dmt,START_DATE,END_DATE\n", **odd)  # fmt: skip
    tables, _ = ingest(folder)
    assert tables.visits["PATIENT_ID"].tolist() == tables.patients["PATIENT_ID"].tolist() == ["É 1"]
    for name in ("patients", "visits"):
        table = pd.read_csv(folder / f"{name}.csv", dtype="str")
        (folder / f"{name}.csv").unlink()
        table.to_parquet(folder / f"{name}.parquet")
    again, _ = ingest(folder)
    assert again.visits["PATIENT_ID"].tolist() == ["É 1"]
    assert again.patients["country"].tolist() == ["Iran"]


def test_an_unknown_patient_that_looks_like_a_known_one_names_it(tmp_path):
    folder = write(tmp_path / "own", **more("visits", "a\u200d,2003-01-01,2", "b ,2004-01-01,2"))
    with pytest.raises(IngestError) as caught:
        ingest(folder)
    assert "is not in" in str(caught.value)
    assert "which has 'A'; write the id of one patient in one way in all tables" in str(
        caught.value
    )
