from __future__ import annotations

import pandas as pd
import pytest
from kedro.io import DataCatalog
from pandera.errors import SchemaErrors

from ms_pfl.registry.ingest.tables import RegistryTables, check
from ms_pfl.registry.schemas import Patients, Relapses, Treatments, Visits


@pytest.fixture
def tables() -> RegistryTables:
    return check(
        RegistryTables(
            pd.DataFrame({"PATIENT_ID": ["a", "b"], "country": "Italy"}),
            pd.DataFrame(
                {"PATIENT_ID": ["a", "b"], "DATE_OF_VISIT": "2001-01-01", "EDSS": [1.0, 2.0]}
            ),
            pd.DataFrame({"PATIENT_ID": ["a"], "DATE_OF_ONSET": ["2000-01-01"]}),
            pd.DataFrame(
                {
                    "PATIENT_ID": ["a"],
                    "dmt": ["avonex"],
                    "START_DATE": ["2001-01-01"],
                    "END_DATE": ["2001-01-01"],
                }
            ),
        ),
        "test",
    )


@pytest.mark.parametrize(
    ("model", "name", "change"),
    [
        (Patients, "patients", {"PATIENT_ID": "a"}),
        (Patients, "patients", {"gender": "W"}),
        (Patients, "patients", {"BIRTH_DATE": pd.Timestamp("1899-12-31")}),
        (Patients, "patients", {"ONSET_OPTIC": 0.5}),
        (Patients, "patients", {"EDUCATION": 999.0}),
        (Patients, "patients", {"surplus": 1}),
        (Visits, "visits", {"EDSS": 2.3}),
        (Visits, "visits", {"EDSS": 0.5}),
        (Visits, "visits", {"KFS_3": 7.0}),
        (Visits, "visits", {"MSCOURSE_AT_VISIT": "XX"}),
        (Visits, "visits", {"DATE_OF_VISIT": pd.Timestamp("1959-12-31")}),
        (Relapses, "relapses", {"DATE_OF_ONSET": pd.NaT}),
        (Treatments, "treatments", {"END_DATE": pd.Timestamp("2000-12-31")}),
        (Treatments, "treatments", {"dmt": None}),
    ],
)
def test_what_breaks_the_contract_is_refused(tables, model, name, change):
    table = getattr(tables, name)
    model.validate(table)
    with pytest.raises(SchemaErrors):
        model.validate(table.assign(**change), lazy=True)


def test_a_visit_may_lack_its_score(tables):
    Visits.validate(tables.visits.assign(EDSS=[1.0, None]))


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_dates_are_brought_to_microseconds(tables, unit):
    other = tables.visits.astype({"DATE_OF_VISIT": f"datetime64[{unit}]"})
    pd.testing.assert_frame_equal(Visits.validate(other), tables.visits)


def test_as_validators_of_the_catalog_nothing_is_lost(tables, tmp_path):
    names = ("patients", "visits", "relapses", "treatments")
    catalog = DataCatalog.from_config(
        {
            name: {
                "type": "pandas.ParquetDataset",
                "filepath": str(tmp_path / f"{name}.parquet"),
                "validator": f"ms_pfl.registry.schemas.{name.capitalize()}",
            }
            for name in names
        }
    )
    for name in names:
        catalog.save(name, getattr(tables, name))
        back = catalog.load(name)
        pd.testing.assert_frame_equal(back, getattr(tables, name))
    with pytest.raises(Exception, match=r"EDSS: isin"):
        catalog.save("visits", tables.visits.assign(EDSS=2.3))
