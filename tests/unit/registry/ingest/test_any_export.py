"""The same registry in any encoding, separator, date format, kind of file: the same labels."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ingest_examples import TODAY
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.rules import RULES
from ms_pfl.registry.ingest.tables import ingest
from registry_exports import KINDS, Export, labels

FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-le")
EXPORTS = st.builds(
    Export,
    kind=st.sampled_from(KINDS),
    encoding=st.sampled_from(ENCODINGS),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    date_format=st.sampled_from([None, *FORMATS]),
    missing=st.sampled_from(["", "?", "n/d", "nicht bekannt"]),
    other_names=st.booleans(),
)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    Export().write(folder)
    found = labels(ingest(folder, today=TODAY)[0])
    assert set(found) == {0, 1}
    return found


@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(export=EXPORTS)
def test_an_export_under_its_settings_has_the_same_labels(export, truth):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export.write(folder)
        before = digests(folder)
        parameters = IngestParameters.model_validate(export.settings)
        tables, report = ingest(folder, parameters, today=TODAY)
        assert digests(folder) == before
    assert labels(tables).to_dict() == truth.to_dict()
    assert set(tables.patients["country"]) == {export.country}
    assert all(RULES[rule].quiet for rule in set(report["rule"]))
    assert ("missing_word" in set(report["rule"])) == bool(export.missing)


@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(export=EXPORTS, other=EXPORTS)
def test_an_export_under_other_settings_has_the_same_labels_or_is_refused(export, other, truth):
    """Settings of another export: nothing but day and month can be taken for something else."""
    days_and_months = {export.date_format, other.date_format} == {"%d/%m/%Y", "%m/%d/%Y"}
    with tempfile.TemporaryDirectory() as name:
        export.write(Path(name))
        parameters = IngestParameters.model_validate(other.settings)
        try:
            tables, _ = ingest(Path(name), parameters, today=TODAY)
        except InputError as error:
            refused = str(error)
        else:
            refused = ""
    assert refused.isprintable()
    assert len(refused) < 700
    if not refused and not days_and_months:
        assert labels(tables).to_dict() == truth.to_dict()
