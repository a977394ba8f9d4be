"""Fixtures that the tests of sites share: their tables, and three sites in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from ms_pfl.deployment.settings import read_parameters
from ms_pfl.registry.synthetic.simulation import simulate
from remembered import remember
from site_examples import COUNTRIES, PEOPLE, PROJECT, SMALL, Sites


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tables a country, and one of all; synthetic."""
    folder = tmp_path_factory.mktemp("registries")
    own = read_parameters(str(PROJECT), "smoke").synthetic_registry
    tables = simulate(own.model_copy(update={"n_patients": PEOPLE}))
    people = tables.patients.set_index("PATIENT_ID")["country"]
    for country in [*COUNTRIES, "all"]:
        (folder / country).mkdir()
        wanted = COUNTRIES if country == "all" else [country]
        for name, table in tables.frames().items():
            rows = table[table["PATIENT_ID"].map(people).isin(wanted)]
            rows.to_csv(folder / country / f"{name}.csv", index=False)
    return folder


@pytest.fixture
def sites(registries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sites:
    """Three sites that have not met yet; what they read of their tables is remembered."""
    for app in ("server", "site"):
        monkeypatch.setattr(f"ms_pfl.deployment.{app}.log_to_stdout", lambda: None)
    remember(monkeypatch, registries)
    monkeypatch.setattr("ms_pfl.deployment.gathering._POLL", 0.0)
    monkeypatch.setattr("ms_pfl.deployment.gathering._SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr("ms_pfl.federation.grids.sites.time.sleep", lambda _: None)
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "conf" / "base", project / "conf" / "base")
    (project / "conf" / "local").mkdir()
    (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump(SMALL))
    return Sites(registries, project, tmp_path)
