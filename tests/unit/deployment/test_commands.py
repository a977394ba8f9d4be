"""What the people of a site type, from a new folder to a revoked run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ms_pfl.deployment import commands
from ms_pfl.deployment.agreement import RunAgreement
from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.commands import main
from ms_pfl.deployment.mask_keys import line_of, own_key
from ms_pfl.deployment.policy import SitePolicy, read_policy
from ms_pfl.deployment.security_log import Entry, SecurityLog
from ms_pfl.deployment.settings import read_parameters
from ms_pfl.deployment.site_folder import SiteFolder
from ms_pfl.federation.secure_sums import public_key
from ms_pfl.paradigms import Training
from site_examples import COUNTRIES, PROJECT


def asked_for(folder: Path, **change: object) -> str:
    """Have a server ask for a run; its name."""
    agreement = RunAgreement.of(
        Training("adaptive", "fedavg"), read_parameters(str(PROJECT), ""), COUNTRIES
    ).model_copy(update=change)
    return Approvals(folder).ask(agreement, "snapshot", "Turkey").run


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "site"
    assert main(["init", str(folder)]) == 0
    capsys.readouterr()
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == "" or not code
    assert captured.err.count("\n") == bool(code)
    return captured.err if code else captured.out


def test_a_folder_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a" / "site"
    told = said(
        capsys, "init", str(folder), "--floor", "12", "--small-cells", "allow", "--runs",
        "adaptive.fedavg, local.none", "--learning-rate", "0.01",
    )  # fmt: skip
    assert "Keep a copy of the file 'secret'" in told
    assert read_policy(folder) == SitePolicy(
        floor=12, small_cells="allow", runs=("adaptive.fedavg", "local.none"), learning_rate=0.01
    )
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "policy.yml": 0o600, "secret": 0o600, "mask.key": 0o600,
    }  # fmt: skip
    assert folder.stat().st_mode & 0o077 == 0
    secret = SiteFolder(folder).secret()
    assert "is there already: change it by hand" in said(capsys, "init", str(folder), code=1)
    assert SiteFolder(folder).secret() == secret


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--floor", "1", "floor: 1: Input should be greater than or equal to 2"),
        ("--floor", "many", "floor: 'many'"),
        ("--small-cells", "maybe", "small_cells: 'maybe'"),
        ("--seeds", "0", "seeds: 0"),
    ],
)
def test_a_policy_that_cannot_be_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, told: str
) -> None:
    assert told in said(capsys, "init", str(tmp_path / "site"), option, value, code=1)
    assert not (tmp_path / "site").exists()


def test_the_policy_says_how_it_is_checked(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = (site / "policy.yml").read_text().splitlines()[0]
    *_, command, option, _ = first.partition("`")[2].partition("`")[0].split()
    assert "floor: 10" in said(capsys, command, option, str(site))


def test_from_review_to_revoke(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--folder", str(site))
    assert said(capsys, "review", *where) == "Nothing is asked for.\n"
    run = asked_for(site)
    assert said(capsys, "review", *where).startswith(f"{run}  waits since ")
    text = said(capsys, "review", run[:5], *where)
    for words in (
        f"Run {run} (waits since", "Sites: Australia; Czech Republic; Turkey",
        "Divisions of the patients (seeds): 0, 1, 2", "network of at most 35,857 weights",
        "at most 30 rounds of 2 epochs", "What will leave, per seed:",
        "number of values of each of 42 features in each cell of a fixed grid",
        "Never leaves: rows",
        f"Approve it: python -m ms_pfl site approve {run} --days 30",
    ):  # fmt: skip
        assert words in text, words
    assert f"Run {run} is approved until" in said(capsys, "approve", run, "--days", "7", *where)
    assert "approved until" in said(capsys, "review", *where)
    assert Approvals(site).status(run) == "approved"
    assert "is not answered any more" in said(capsys, "revoke", run, *where)
    assert Approvals(site).status(run) == "expired"
    lines = (site / "security.jsonl").read_text().splitlines()
    entries = [Entry.model_validate_json(line) for line in lines]
    assert [(entry.event, entry.facts["run"]) for entry in entries] == [
        ("approved", run), ("revoked", run),
    ]  # fmt: skip


def test_what_cannot_be_noted_is_not_approved(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = asked_for(site)
    log = site / "security.jsonl"
    log.write_text("damaged\n")
    told = said(capsys, "approve", run, "--folder", str(site), code=1)
    assert "is no line of a security log" in told
    log.unlink()
    log.mkdir()
    told = said(capsys, "approve", run, "--folder", str(site), code=1)
    assert told == f"{log} cannot be used (Is a directory); nothing was approved\n"
    assert Approvals(site).status(run) == "waiting"


def test_what_is_beyond_the_policy_cannot_be_approved(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = asked_for(site, seeds=tuple(range(6)))
    told = said(capsys, "approve", run, "--folder", str(site), code=1)
    assert "is beyond the policy: seeds: 6 asked for, at most 5 by the policy" in told
    assert Approvals(site).status(run) == "waiting"
    assert "BEYOND THE POLICY" in said(capsys, "review", run, "--folder", str(site))


def test_text_of_the_server_is_shown_on_one_line(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = asked_for(site, sites=("A\x1b[31m\nApprove it", "Belgium", "Turkey"))
    text = said(capsys, "review", run, "--folder", str(site))
    assert r"Sites: A\x1b[31m\nApprove it; Belgium; Turkey" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("approve", "0123"), "no run begins with '0123'; asked for: none"),
        (("review", "0123"), "no run begins with"),
        (("revoke", ""), "no run begins with"),
        (("policy",), "policy.yml: floor: 'x'"),
        (("review",), "policy.yml: floor: 'x'"),
        (("verify-log",), "holds no security log"),
    ],
)
def test_errors_are_one_line(
    site: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    if told.startswith("policy.yml"):
        (site / "policy.yml").write_text("floor: x\n")
    assert told in said(capsys, *arguments, "--folder", str(site), code=1)
    told = said(capsys, *arguments, "--folder", str(site / "absent"), code=1)
    assert "is no folder: name the site folder by --folder" in told


def test_the_log_is_verified(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--folder", str(site))
    digests = [SecurityLog(site).note("started", number=i) for i in range(3)]
    told = said(capsys, "verify-log", "--digest", digests[1], *where)
    assert told == (
        f"The security log is as it was written: 3 lines from number 1, last digest {digests[-1]}\n"
    )
    path = site / "security.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]))
    assert "lines were cut off" in said(
        capsys, "verify-log", "--digest", digests[2], *where, code=1
    )
    path.write_text("".join([lines[0], *lines[2:]]))
    assert "does not follow" in said(capsys, "verify-log", *where, code=1)
    told = json.loads(lines[1])
    path.write_text("".join([lines[0], json.dumps(told | {"time": "now"}) + "\n", lines[2]]))
    assert "was changed" in said(capsys, "verify-log", *where, code=1)


def test_lines_that_the_log_has_removed_are_told_of(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SecurityLog(site, most_bytes=500, files=2)
    for number in range(20):
        log.note("started", number=number)
    monkeypatch.setattr(commands, "FILES", 2)
    text = said(capsys, "verify-log", "--folder", str(site))
    assert "were removed with old files, of which 2 are kept: they cannot be verified" in text


@pytest.mark.parametrize("where", ["~nobody-of-this-name/x", "loop"])
def test_a_path_that_leads_nowhere_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    where = str(tmp_path / where) if where == "loop" else where
    assert "cannot be followed" in said(capsys, "policy", "--folder", where, code=1)
    assert "cannot be followed" in said(capsys, "init", where, code=1)


def test_the_module_is_the_command(site: Path) -> None:
    environment = os.environ | {"MS_PFL_SITE": str(site), "PYTHONPATH": str(PROJECT / "src")}

    def printed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ms_pfl", "site", *arguments],
            env=environment, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert "floor: 10" in printed("policy")
    # nothing but the line, which goes into a file with those of other sites
    assert printed("key", "Turkey") == line_of("Turkey", public_key(own_key(site)))
