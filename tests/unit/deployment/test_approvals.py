"""What is asked of a site, and what is approved: by content, until a day, and not a byte else."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from ms_pfl.deployment import approvals as module
from ms_pfl.deployment.agreement import RefusalError, RunAgreement
from ms_pfl.deployment.approvals import Approval, Approvals, name_of
from ms_pfl.deployment.security_log import SecurityLog, verify
from ms_pfl.deployment.settings import read_parameters
from ms_pfl.errors import InputError
from ms_pfl.paradigms import Training
from site_examples import COUNTRIES, PROJECT


@pytest.fixture(scope="module")
def agreement() -> RunAgreement:
    parameters = read_parameters(str(PROJECT), "")
    return RunAgreement.of(Training("adaptive", "fedavg"), parameters, COUNTRIES)


def later(monkeypatch: pytest.MonkeyPatch, **ahead: float) -> None:
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(**ahead)
    monkeypatch.setattr(module, "_now", lambda: now)


def test_from_asked_to_expired(
    tmp_path: Path, agreement: RunAgreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals = Approvals(tmp_path)
    asked = approvals.ask(agreement, "snapshot", "Turkey")
    assert approvals.all() == [asked]
    assert approvals.status(asked.run) == "waiting"
    with pytest.raises(RefusalError, match="waits for the approval of its operator"):
        approvals.approved(asked.run)
    approvals.approve(asked.run[:6], days=2)
    assert approvals.approved(asked.run) == asked
    later(monkeypatch, days=1.9)
    assert approvals.status(asked.run) == "approved"
    later(monkeypatch, days=2.1)
    assert approvals.status(asked.run) == "expired"
    with pytest.raises(RefusalError, match="waits for the approval"):
        approvals.approved(asked.run)
    later(monkeypatch, days=-1)
    assert approvals.status(asked.run) == "expired", "a clock that goes back approves nothing"


def test_revoked_and_approved_again(tmp_path: Path, agreement: RunAgreement) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    assert approvals.approve(run).number == 1
    approvals.note_answered(run, 1, {"0": {"scaler": ["x"]}})
    assert approvals.revoke(run) == run
    assert approvals.status(run) == "expired"
    assert approvals.approve(run).number == 1
    assert approvals.answered(run, 1) == {"0": {"scaler": ["x"]}}, "the budget is not a new one"
    assert approvals.approve(run, again=True).number == 2
    assert approvals.answered(run, 2) == {}


def test_that_an_approval_has_expired_is_noted_once(
    tmp_path: Path, agreement: RunAgreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals, noted = Approvals(tmp_path), list[Approval]()
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    approvals.expire(run, noted.append)
    approval = approvals.approve(run, days=1)
    approvals.expire(run, noted.append)
    later(monkeypatch, days=-1)
    approvals.expire(run, noted.append)
    assert noted == [], "not asked, not over, and a clock that went back"
    later(monkeypatch, days=1.1)
    for _ in range(2):
        approvals.expire(run, noted.append)
    assert noted == [approval]
    assert approvals.status(run) == "expired"
    assert not approvals.approve(run).ended
    approvals.revoke(run)
    approvals.expire(run, noted.append)
    assert noted == [approval], "that it was revoked is another line"


def test_an_approval_that_cannot_be_noted_is_not_in_effect(
    tmp_path: Path, agreement: RunAgreement
) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run

    def note(approval: Approval) -> None:
        assert approvals.status(run) == "waiting"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        approvals.approve(run, note=note)
    assert approvals.status(run) == "waiting"


def test_nothing_is_answered_under_an_approval_that_ends_meanwhile(
    tmp_path: Path, agreement: RunAgreement
) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    approvals.approve(run)
    approvals.note_answered(run, 1, {"0": {}})
    approvals.revoke(run)
    with pytest.raises(RefusalError, match="waits for the approval"):
        approvals.note_answered(run, 1, {"0": {"1": ["x"]}})
    approvals.approve(run, again=True)
    with pytest.raises(RefusalError, match="waits for the approval"):
        approvals.note_answered(run, 1, {"0": {"1": ["x"]}})
    assert approvals.answered(run, 1) == {"0": {}}


def _approve_and_revoke(folder: Path, run: str) -> None:
    approvals, log = Approvals(folder), SecurityLog(folder, most_bytes=3000)
    for _ in range(10):
        approvals.approve(run, note=lambda own: log.note("approved", number=own.number))
        approvals.revoke(run)
        log.note("revoked", run=run)
        approvals.approve(run, again=True, note=lambda own: log.note("approved", run=run))


def _ask(folder: Path, agreement: RunAgreement) -> None:
    for number in range(60):
        Approvals(folder).ask(agreement, f"{os.getpid()} {number}", "Turkey")


def test_several_processes_lose_no_approval(tmp_path: Path, agreement: RunAgreement) -> None:
    """Two operators approve one run while a server asks for so many that some are dropped."""
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    approvals.approve(run)
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=_approve_and_revoke, args=(tmp_path, run)) for _ in range(2)]
    others += [context.Process(target=_ask, args=(tmp_path, agreement)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
    assert [other.exitcode for other in others] == [0] * 4
    approval = approvals.approval(run)
    assert approval is not None
    assert approval.number == 21, "each --again counts"
    assert approvals.approved(run).run == run
    assert verify(tmp_path).lines >= 60


def test_another_agreement_or_other_tables_are_another_run(agreement: RunAgreement) -> None:
    more = agreement.model_copy(update={"seeds": (*agreement.seeds, 9)})
    names = {name_of(agreement, "a"), name_of(agreement, "b"), name_of(more, "a")}
    assert len(names) == 3
    again = RunAgreement.model_validate_json(agreement.text)
    assert name_of(again, "a") == name_of(agreement, "a")


def test_a_changed_file_is_no_approved_run(tmp_path: Path, agreement: RunAgreement) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    approvals.approve(run)
    path = approvals.path / f"{run}.json"
    told = json.loads(path.read_text())
    told["agreement"]["stages"][0]["rounds"] = 31
    path.write_text(json.dumps(told))
    with pytest.raises(RefusalError, match="waits for the approval"):
        approvals.approved(run)
    for text in ("", "[]", "{}", '{"since": 1}', "nan"):
        (approvals.path / f"{run}.approved.json").write_text(text)
        assert approvals.status(run) == "waiting"


def test_names_that_are_no_names_of_runs(tmp_path: Path, agreement: RunAgreement) -> None:
    approvals = Approvals(tmp_path)
    approvals.ask(agreement, "snapshot", "Turkey")
    for name in ("../secret", "", "0" * 16, "a/b"):
        with pytest.raises(RefusalError, match="waits"):
            approvals.approved(name)
        with pytest.raises(InputError, match="no run begins with"):
            approvals.asked(name)


def test_a_flood_of_questions_fills_no_disk(tmp_path: Path, agreement: RunAgreement) -> None:
    approvals = Approvals(tmp_path)
    kept = approvals.ask(agreement, "approved", "Turkey").run
    approvals.approve(kept)
    for number in range(60):
        approvals.ask(agreement, f"snapshot {number}", "Turkey")
    assert len(list(approvals.path.glob("*.json"))) <= 22
    assert approvals.approved(kept).snapshot == "approved"


def test_a_damaged_request_is_written_anew_when_it_is_asked_for_again(
    tmp_path: Path, agreement: RunAgreement
) -> None:
    approvals = Approvals(tmp_path)
    asked = approvals.ask(agreement, "snapshot", "Turkey")
    (approvals.path / f"{asked.run}.json").write_text("{")
    for command in (approvals.asked, approvals.approve, approvals.revoke):
        with pytest.raises(
            InputError, match="is damaged; it is written again when the server asks"
        ):
            command(asked.run)
    approvals.ask(agreement, "snapshot", "Turkey")
    assert approvals.asked(asked.run).agreement == agreement


@pytest.mark.parametrize("days", [0, -1, 1e9, float("nan")])
def test_days_that_cannot_be(tmp_path: Path, agreement: RunAgreement, days: float) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    with pytest.raises(InputError, match="--days"):
        approvals.approve(run, days)


def test_files_are_private(tmp_path: Path, agreement: RunAgreement) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    approvals.approve(run)
    approvals.note_answered(run, 1, {})
    assert {path.stat().st_mode & 0o077 for path in approvals.path.iterdir()} == {0}


def test_a_damaged_record_of_answers_gives_no_new_budget(
    tmp_path: Path, agreement: RunAgreement
) -> None:
    approvals = Approvals(tmp_path)
    run = approvals.ask(agreement, "snapshot", "Turkey").run
    approvals.approve(run)
    (approvals.path / f"{run}.answered.json").write_text("{")
    with pytest.raises(RefusalError, match="approves the run again"):
        approvals.answered(run, 1)
