"""What --run-config and --node-config may say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from site_examples import PROJECT

from ms_pfl.apps.settings import ServerSettings, SiteSettings, read_parameters, read_settings
from ms_pfl.errors import InputError

SITE = {"country": "Turkey", "registry-folder": "/tables", "site-folder": "/site"}


def test_keys_have_hyphens_and_defaults() -> None:
    settings = read_settings(SiteSettings, SITE | {"minimum-patients": 3, "env": ""}, "--node")
    assert settings == SiteSettings("Turkey", "/tables", "/site", minimum_patients=3)
    server = read_settings(
        ServerSettings, {"project": ".", "sites": "B, A,B", "wait-for-sites": 5}, "--run"
    )
    assert server.wait_for_sites == 5.0
    assert server.countries == ("A", "B")


def test_two_forms_of_a_name_are_one_site() -> None:
    composed, decomposed = "Türkiye", "Tu\u0308rkiye\u00a0"
    settings = read_settings(SiteSettings, SITE | {"country": decomposed}, "--node")
    assert settings.country == composed
    run = {"project": ".", "sites": f"{decomposed},Czech\u00a0Republic,{composed}"}
    server = read_settings(ServerSettings, run, "--run")
    assert server.countries == ("Czech Republic", composed)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"country": "Turkey", "site-folder": "/s"}, "^--node: 'registry-folder' is missing$"),
        (
            SITE | {"registry_folder": "/x"},
            "'registry_folder' is unknown; did you mean",
        ),
        (SITE | {"minimum-patients": "many"}, "minimum-patients = 'many' must be a int"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_settings(SiteSettings, given, "--node")


def test_no_site_is_named() -> None:
    with pytest.raises(InputError, match="no site is named"):
        _ = ServerSettings(project=".", sites=" , ").countries


def test_parameters_are_read_as_kedro_reads_them(tmp_path: Path) -> None:
    assert read_parameters(str(PROJECT), "smoke").seeds == (0, 1)
    assert read_parameters(str(PROJECT), "").seeds == (0, 1, 2)
    with pytest.raises(InputError, match=r"the parameters in .*conf cannot be used"):
        read_parameters(str(tmp_path), "")
    base = tmp_path / "conf" / "base"
    base.mkdir(parents=True)
    (base / "parameters.yml").write_text(yaml.safe_dump({"seeds": [1]}))
    with pytest.raises(InputError, match="Parameter 'device' is missing"):
        read_parameters(str(tmp_path), "base")
