"""What preflight says before a site starts: a line for each check, and what to do."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ingest_examples import TEXTS, write
from kedro_project import PROJECT
from ms_pfl.deployment import preflight as checks
from ms_pfl.deployment.agreement import RunAgreement
from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.mask_keys import own_key, pin
from ms_pfl.deployment.network import Address
from ms_pfl.deployment.policy import SitePolicy, write_policy
from ms_pfl.deployment.preflight import preflight
from ms_pfl.deployment.settings import read_parameters
from ms_pfl.deployment.site_keys import fingerprint
from ms_pfl.federation.secure_sums import new_key, public_key
from ms_pfl.paradigms import Training
from network_examples import HOST, expire, free_port, https_server, make_certificates

PATIENTS = TEXTS["patients"].replace("Italy", "Turkey").replace("Iran", "Turkey")
OTHER, THIRD = public_key(bytes(range(32))), public_key(bytes(range(1, 33)))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("preflight") / "certificates", HOST)


@pytest.fixture(scope="module")
def superlink(certificates: Path) -> Iterator[Address]:
    with https_server(certificates) as address:
        yield address


@pytest.fixture
def given(
    tmp_path: Path, superlink: Address, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    for name in [name for name in os.environ if name.lower().endswith("proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    registry, site, key = tmp_path / "registry", tmp_path / "site", tmp_path / "key"
    for folder in (registry, site):
        folder.mkdir(0o700)
    write(registry, patients=PATIENTS)
    write_policy(site, SitePolicy(disk_gib=1))
    pin(site, {"Turkey": public_key(own_key(site)), "Wales": OTHER, "Iran": THIRD})
    private = ec.generate_private_key(ec.SECP384R1())
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    key.chmod(0o600)
    (tmp_path / "print").write_text(fingerprint(private.public_key()))
    return {
        "superlink": str(superlink), "certificate": str(certificates / "ca.crt"), "key": str(key),
        "country": "Turkey", "registry": str(registry), "site": str(site),
        "port": str(free_port()),
    }  # fmt: skip


def lines(given: dict[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """The exit code, and what is said of each check."""
    code = preflight([*given.values()])
    out, err = capsys.readouterr()
    assert err == ""
    return code, {
        line[7:].partition(":")[0]: line[:7].strip() + line[7:].partition(":")[2]
        for line in out.splitlines()
    }


def test_all_is_well(
    given: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = lines(given, capsys)
    assert code == 0, told
    assert list(told) == [
        "settings", "server", "certificate", "key", "port", "registry",
        "rights of the registry folder", "policy", "keys of masked sums",
        "rights of the site folder", "disk", "app",
    ]  # fmt: skip
    assert all(text.startswith("ok ") for text in told.values())
    assert told["server"].endswith("is reached directly, and the clocks agree")
    assert (tmp_path / "print").read_text() in told["key"]
    assert "2 patients, 3 visits, 1 relapses, 1 treatments" in told["registry"]
    assert '"Iran", "Turkey", "Wales", code ' in told["keys of masked sums"]


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("server", "nobody listens at"),
        ("certificate", "the server's ends on 2"),
        ("key", "is open to others: chmod 600 '"),
        ("port", ", for the site's own processes, is taken by"),
        ("registry", "holds neither visits.csv nor visits.parquet; add the file"),
        ("rights of the registry folder", "is open to every account of this machine: chmod -R o="),
        ("policy", "policy.yml is missing: write it by"),
        ("rights of the site folder", "can be written by its group: chmod -R g-w '"),
        ("disk", "and its policy lets it grow to 1 GiB: free space, or"),
        ("settings", "'country' is missing"),
    ],
)
def test_what_is_to_do(
    what: str,
    wanted: str,
    given: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = None
    match what:
        case "server":
            given["superlink"] = f"{HOST}:{free_port(HOST)}"
        case "certificate":
            monkeypatch.setattr(checks, "_DAYS", 900)
        case "key":
            Path(given["key"]).chmod(0o640)
        case "port":
            taken = socket.create_server(("127.0.0.1", int(given["port"])))
        case "registry":
            (Path(given["registry"]) / "visits.csv").unlink()
        case "rights of the registry folder":
            Path(given["registry"]).chmod(0o755)
        case "policy":
            (Path(given["site"]) / "policy.yml").unlink()
        case "rights of the site folder":
            Path(given["site"]).chmod(0o770)
        case "disk":
            usage = shutil.disk_usage("/")._replace(free=2**29)
            monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
        case "settings":
            given["country"] = " "
    code, told = lines(given, capsys)
    if taken is not None:
        taken.close()
    assert code == 1
    assert told[what].startswith("TO DO ")
    assert wanted in told[what]
    others = {name for name, text in told.items() if not text.startswith("ok ")} - {what}
    besides = {"certificate", "disk", "keys of masked sums", "registry"}
    assert others <= besides, "the rest is looked at all the same"


def test_an_expired_certificate(
    given: dict[str, str], certificates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with https_server(expire(certificates, tmp_path / "old")) as address:
        code, told = lines(given | {"superlink": str(address)}, capsys)
    assert code == 1
    assert "is out of date (certificate has expired)" in told["server"]


def test_too_few_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight(["a"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("TO DO  settings: start_site.sh takes SUPERLINK CA_CERTIFICATE")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "what", "wanted"),
    [
        ("port", "70000", "port", "must be the PORT of the site's own processes"),
        ("port", "9" * 5000, "port", "must be the PORT of the site's own processes"),
        ("key", "{pipe}", "key", "{pipe} is no file"),
        ("certificate", "{pipe}", "certificate", "{pipe} is no file"),
        ("certificate", "{pipe}", "server", "({pipe} is no file); ask the server's"),
        ("site", "{loop}", "settings", "the path {loop} cannot be followed"),
        ("registry", "~nobody-of-this-name", "settings", "cannot be followed: Could not determine"),
    ],
)
def test_arguments_that_lead_nowhere_are_a_line_each(
    name: str,
    value: str,
    what: str,
    wanted: str,
    given: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop, pipe = tmp_path / "loop", tmp_path / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    given[name] = value.format(loop=loop, pipe=pipe)
    code, told = lines(given, capsys)
    assert code == 1
    assert told[what].startswith("TO DO ")
    assert wanted.format(loop=loop, pipe=pipe) in told[what]


def test_a_country_is_no_path(given: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = lines(given | {"country": "~nobody-of-this-name"}, capsys)
    assert (code, len(told)) == (1, 12)
    assert told["settings"].startswith("ok ")
    assert "is called '~nobody-of-this-name', and" in told["registry"]
    assert told["registry"].endswith('has patients of "Turkey"')


@pytest.mark.parametrize("kind", ["workbook", "profile"])
def test_tables_are_read_by_the_site_s_own_settings(
    kind: str, given: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of other names, kinds and columns, which start_site.sh reads with project=FOLDER."""
    registry, project = Path(given["registry"]), tmp_path / "project"
    shutil.copytree(PROJECT / "conf", project / "conf")
    visits = pd.read_csv(registry / "visits.csv")
    (registry / "visits.csv").unlink()
    if kind == "workbook":
        with pd.ExcelWriter(registry / "Clinical 2026.xlsx") as book:
            visits.rename(columns={"EDSS": "Score"}).to_excel(book, sheet_name="V", index=False)
            visits.to_excel(book, sheet_name="old", index=False)
        (registry / "relapses.csv").unlink()
        ingest: dict[str, object] = {
            "files": {"visits": "clinical*", "relapses": None},
            "sheets": {"visits": "V"},
            "columns": {"visits": {"Score": "EDSS"}},
        }
    else:
        visits.rename(columns={"EDSS": "Score"}).to_csv(registry / "clinical-9.csv", index=False)
        (project / "conf" / "local" / "ingest_profiles").mkdir(parents=True, exist_ok=True)
        profile = {"files": {"visits": "clinical-*"}, "columns": {"visits": {"Score": "EDSS"}}}
        path = project / "conf" / "local" / "ingest_profiles" / "ours.yml"
        path.write_text(yaml.safe_dump(profile))
        ingest = {"profile": "ours"}
    (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump({"ingest": ingest}))
    code, told = lines(given, capsys)
    assert code == 1
    assert "holds neither visits.csv" in told["registry"]
    assert "check_tables --params=registry_folder=" in told["registry"]
    code, told = lines({**given, "project": f"project={project}"}, capsys)
    assert code == 0, told
    relapses = 0 if kind == "workbook" else 1
    assert f"2 patients, 3 visits, {relapses} relapses, 1 treatments" in told["registry"]


def test_tables_that_a_run_would_refuse(
    given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(given["registry"]) / "visits.csv"
    path.write_text(path.read_text().replace(",2.5", ",2.6"))
    code, told = lines(given, capsys)
    assert code == 1
    assert "visits.csv, line 3, column EDSS: '2.6'" in told["registry"]


def ask_for_a_masked_run(site: Path, countries: tuple[str, ...]) -> str:
    agreement = RunAgreement.of(
        Training("adaptive", "fedavg"), read_parameters(str(PROJECT), ""), countries
    )
    return Approvals(site).ask(agreement, "snapshot", "Turkey").run


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("no key", "mask.key is not there yet: send the line that `python -m ms_pfl site key"),
        ("a lost key", "mask.key is lost: restore it from your copy; or remove"),
        ("a damaged key", "mask.key is damaged: restore it from your copy"),
        ("an open key", "mask.key is open to others: chmod 600 "),
        ("nothing pinned", "no key is pinned: send the line that `python -m ms_pfl site key Turke"),
        ("another key", "the pinned keys do not hold that of "),
        ("another name", "this site's key is pinned for 'Iran', and the site is called 'Turkey': "),
        ("two keys", "keys of 2 sites are pinned, and a masked sum takes 3: pin the file of all"),
        ("two with one key", "'Turkey' and 'Wales' have the same key"),
        ("a run's site", "no key of 'Spain' is pinned at this site, and the run masks its sums: "),
        ("rights", "masks.yml can be changed by other accounts: chmod go-w '"),
    ],
)
def test_keys_of_masked_sums(
    what: str, wanted: str, given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    site = Path(given["site"])
    key, file = site / "mask.key", site / "masks.yml"
    match what:
        case "no key":
            key.unlink()
            file.unlink()
        case "a lost key":
            key.unlink()
        case "a damaged key":
            key.write_bytes(key.read_bytes()[1:])
        case "an open key":
            key.chmod(0o640)
        case "nothing pinned":
            file.unlink()
        case "another key":
            key.write_bytes(new_key())
        case "another name":
            text = file.read_text()
            file.write_text(text.replace('"Iran":', '"x":').replace("Turkey", "Iran"))
        case "two keys":
            file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
        case "two with one key":
            own = file.read_text().partition('"Turkey": ')[2].partition("\n")[0]
            file.write_text(f'"Turkey": {own}\n"Wales": {own}\n"Iran": {own}\n')
        case "a run's site":
            ask_for_a_masked_run(site, ("Iran", "Turkey", "Wales"))
            run = ask_for_a_masked_run(site, ("Iran", "Spain", "Turkey"))
            wanted = f"run {run}: {wanted}"
        case "rights":
            file.chmod(0o660)
    before = {path: path.read_bytes() for path in (key, file) if path.exists()}
    code, told = lines(given, capsys)
    assert code == 1
    assert told["keys of masked sums"].startswith("TO DO ")
    assert wanted in told["keys of masked sums"]
    assert {path: path.read_bytes() for path in (key, file) if path.exists()} == before
    assert [name for name, text in told.items() if not text.startswith("ok ")] == [
        "keys of masked sums"
    ]


def test_a_site_of_plain_sums_needs_no_keys(
    given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    site = Path(given["site"])
    for name in ("mask.key", "masks.yml"):
        (site / name).unlink()
    write_policy(site, SitePolicy(disk_gib=1, plain_sums="allow", sites=2))
    code, told = lines(given, capsys)
    assert code == 0
    assert told["keys of masked sums"].startswith("ok none; the site takes part in plain sums alo")
    assert not (site / "mask.key").exists()
