"""What --run-config and --node-config may say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from flwr.common.config import get_fused_config_from_dir, parse_config_args
from flwr.common.serde import user_config_from_proto, user_config_to_proto
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.deployment.settings import (
    ServerSettings,
    SiteSettings,
    read_parameters,
    read_settings,
    toml_text,
)
from ms_pfl.errors import InputError
from ms_pfl.names import normal
from site_examples import PROJECT

SITE = {"country": "Turkey", "registry-folder": "/tables", "site-folder": "/site"}


def test_keys_have_hyphens_and_defaults() -> None:
    settings = read_settings(SiteSettings, SITE | {"project": "/p", "env": ""}, "--node")
    assert settings == SiteSettings("Turkey", "/tables", "/site", project="/p")
    server = read_settings(
        ServerSettings,
        {"project": ".", "keys": "k", "sites": "B, A,B", "wait-for-sites": 5},
        "--run",
    )
    assert server.wait_for_sites == 5.0
    assert server.countries == ("A", "B")


def test_two_forms_of_a_name_are_one_site() -> None:
    composed, decomposed = "Türkiye", "Tu\u0308rkiye\u00a0"
    settings = read_settings(SiteSettings, SITE | {"country": decomposed}, "--node")
    assert settings.country == composed
    run = {"project": ".", "keys": "k", "sites": f"{decomposed},Czech\u00a0Republic,{composed}"}
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
        (SITE | {"project": 3}, "project = 3 must be a str"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_settings(SiteSettings, given, "--node")


@pytest.mark.parametrize("sites", [" , ", "[]", '[" "]'])
def test_no_site_is_named(sites: str) -> None:
    with pytest.raises(InputError, match="no site is named"):
        _ = ServerSettings(project=".", keys="k", sites=sites).countries


@pytest.mark.parametrize("sites", ["[A, B]", '["A", 1]', '["A"', '["A"] B'])
def test_what_is_no_list_is_shown(sites: str) -> None:
    with pytest.raises(InputError) as caught:
        _ = ServerSettings(project=".", keys="k", sites=sites).countries
    assert str(caught.value).startswith(f"--run-config: sites = {sites} is no JSON list of names (")


NAMES = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: bool(normal(text)))
# as `flwr run` gets them from the shell
SHOWN = {
    'sites="Australia,Czech Republic,Turkey"': ("Australia", "Czech Republic", "Turkey"),
    'sites="Côte d\'Ivoire,Turkey"': ("Côte d'Ivoire", "Turkey"),
    'sites=\'["Korea, Republic of", "Turkey"]\'': ("Korea, Republic of", "Turkey"),
    'sites=\'["Côte d\\u0027Ivoire", "Korea, Republic of"]\'': (
        "Côte d'Ivoire", "Korea, Republic of",
    ),
}  # fmt: skip


def as_run(folder: Path, config: str) -> tuple[str, ...]:
    """The countries that reach the ServerApp, by what `flwr run` and the SuperLink do with them."""
    overrides = user_config_from_proto(user_config_to_proto(parse_config_args([config])))
    (folder / "pyproject.toml").write_bytes((PROJECT / "pyproject.toml").read_bytes())
    run_config = get_fused_config_from_dir(folder, overrides)
    settings: ServerSettings = read_settings(ServerSettings, run_config, "--run-config")
    return settings.countries


@pytest.mark.parametrize(("config", "countries"), SHOWN.items())
def test_sites_on_the_command_line(config: str, countries: tuple[str, ...], tmp_path: Path) -> None:
    assert as_run(tmp_path, f'project="." keys="k" {config} paradigm="local"') == countries


def test_sites_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    quotes = "'" * 3
    names = '["Korea, Republic of", "Côte d\'Ivoire", "Turkey"]'
    path.write_text(
        f'project = "."\nkeys = "k"\nsites = {quotes}{names}{quotes}\n', encoding="utf-8"
    )
    assert as_run(tmp_path, str(path)) == ("Côte d'Ivoire", "Korea, Republic of", "Turkey")


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_any_names_can_be_given(names: list[str]) -> None:
    config = f"project={toml_text('.')} keys={toml_text('k')} sites={toml_text(json.dumps(names))}"
    settings = read_settings(ServerSettings, parse_config_args([config]), "--run-config")
    assert settings.countries == tuple(sorted({normal(name) for name in names}))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_flower_reads_what_is_written_for_it(values: list[str]) -> None:
    pairs = {f"key-{number}": value for number, value in enumerate(values)}
    text = " ".join(f"{name}={toml_text(value)}" for name, value in pairs.items())
    assert parse_config_args([f"{text} last=1"]) == pairs | {"last": 1}


def test_a_path_that_is_no_text() -> None:
    with pytest.raises(InputError, match="is not UTF-8; rename the folder"):
        toml_text(os.fsdecode(b"/tables/\xff"))


def test_where_the_output_goes(tmp_path: Path) -> None:
    settings = ServerSettings(project=str(tmp_path), keys="k", sites="A")
    assert settings.output_folder == tmp_path / "data" / "06_models" / "federation"
    settings = ServerSettings(project="/p", keys="k", sites="A", output=str(tmp_path / "x" / ".."))
    assert settings.output_folder == tmp_path


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


def test_sums_are_masked_unless_plain_ones_are_asked_for() -> None:
    told = {"project": "/p", "keys": "k", "sites": "A"}
    assert read_settings(ServerSettings, told, "--run-config").sums == "masked"
    with pytest.raises(InputError, match="sums = 'clear' must be 'masked' or 'plain'"):
        read_settings(ServerSettings, told | {"sums": "clear"}, "--run-config")
