"""What servers have asked of a site, and what its operator has approved: files in the site folder.

``agreements/<run>.json`` holds an agreement as it was asked for, with the snapshot of the tables
that it is about; ``<run>.approved.json`` that it is approved and until when;
``<run>.answered.json`` which questions were answered under it (:mod:`ms_pfl.deployment.order`). A
run is called by a digest of agreement and snapshot: another agreement, or other tables, is another
run.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ms_pfl.deployment.agreement import RefusalError, RunAgreement
from ms_pfl.deployment.rights import read_own
from ms_pfl.errors import InputError
from ms_pfl.files import whole_file
from ms_pfl.folder_lock import alone

Status = Literal["waiting", "approved", "expired"]
DAYS = 30
_NAME = re.compile("[0-9a-f]{16}")
_WAITS = "the site waits for the approval of its operator"
_MOST_WAITING = 20
_MOST = 200
_LARGEST = 4_000_000  # bytes of a file that this module has written
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")


class Approval(BaseModel):
    """That a run is approved.

    Attributes:
        since: ISO 8601, in UTC.
        until: likewise; from then on the run waits again.
        number: 1 for the first approval of the run; a higher one lets it begin again.
        ended: whether the security log says that it is over.
    """

    model_config = _STRICT

    since: str
    until: str
    number: int
    ended: bool = False


@dataclass(frozen=True)
class Asked:
    """A run as it was asked for.

    Attributes:
        run: its name.
        agreement: what is asked.
        snapshot: name of the site's episodes and splits for it.
        country: of the site.
        first: when it was asked for first, ISO 8601 in UTC.
    """

    run: str
    agreement: RunAgreement
    snapshot: str
    country: str
    first: str


Note = Callable[[Approval], object]


def _nothing(approval: Approval) -> None:
    pass


def name_of(agreement: RunAgreement, snapshot: str) -> str:
    """Return the name of a run: of an agreement over a snapshot."""
    digest = hashlib.blake2b(digest_size=8)
    for text in (agreement.text, snapshot):
        digest.update(hashlib.blake2b(text.encode()).digest())
    return digest.hexdigest()


class Approvals:
    """The runs that a site was asked for."""

    def __init__(self, site_folder: Path) -> None:
        """Name the folder; it is made when something is kept."""
        self.path = site_folder / "agreements"

    def ask(self, agreement: RunAgreement, snapshot: str, country: str) -> Asked:
        """Take down what is asked for, so that the operator can look at it; the same again is kept.

        Of those that wait and were never approved, the oldest go where there are too many.
        """
        run = name_of(agreement, snapshot)
        if (known := self._read(run)) is not None:
            return known
        with self._alone():
            if (known := self._read(run)) is not None:
                return known
            asked = Asked(run, agreement, snapshot, country, _text(_now()))
            told = asdict(asked) | {"agreement": agreement.model_dump(mode="json")}
            self._make_room()
            self._write(f"{run}.json", told)
        return asked

    def asked(self, run: str) -> Asked:
        """Return a run that was asked for, by its name or by how the name begins.

        Raises:
            InputError: there is none, or more than one.
        """
        found = [name for name in self._names() if name.startswith(run)] if run else []
        if len(found) != 1:
            known = ", ".join(self._names()) or "none"
            kind = "more than one run begins" if found else "no run begins"
            raise InputError(f"{kind} with {run!r}; asked for: {known}")
        asked = self._read(found[0])
        if asked is None:
            raise InputError(
                f"{self.path / found[0]}.json is damaged; it is written again when the server asks "
                "for that run again"
            )
        return asked

    def all(self) -> list[Asked]:
        """Return all runs that were asked for, the latest first."""
        found = [asked for name in self._names() if (asked := self._read(name)) is not None]
        return sorted(found, key=lambda asked: (asked.first, asked.run), reverse=True)

    def approval(self, run: str) -> Approval | None:
        """Return the approval of a run, expired or not; None: it has none that can be read."""
        with suppress(OSError, ValueError):
            return Approval.model_validate(self._load(f"{run}.approved.json"))
        return None

    def status(self, run: str) -> Status:
        """Return whether a run may be answered now."""
        approval = self.approval(run)
        if approval is None:
            return "waiting"
        try:
            since, until = map(datetime.datetime.fromisoformat, (approval.since, approval.until))
            return "approved" if since <= _now() < until else "expired"
        except (ValueError, TypeError):
            return "waiting"

    def approved(self, run: str) -> Asked:
        """Return a run that is approved now.

        Raises:
            RefusalError: it is not; the site says that it waits, and nothing else.
        """
        asked = self._read(run) if _NAME.fullmatch(run) else None
        if asked is None or self.status(run) != "approved":
            raise RefusalError(_WAITS)
        return asked

    def approve(
        self, run: str, days: float = DAYS, *, again: bool = False, note: Note = _nothing
    ) -> Approval:
        """Approve a run from now on for so many days.

        Args:
            run: its name.
            days: until the approval expires.
            again: forget which questions were answered, so that the run may begin again with
                others, because the data of another site have changed.
            note: writes the approval down; it takes effect thereafter.

        Raises:
            InputError: there is no such run, or no such number of days.
        """
        if not 0 < days <= 3650:
            raise InputError(f"--days {days:g}: a number above 0 and up to 3650 is possible")
        with self._alone():
            asked = self.asked(run)
            before = self.approval(asked.run)
            number = 1 if before is None else before.number + again
            now = _now()
            until = now + datetime.timedelta(days=days)
            approval = Approval(since=_text(now), until=_text(until), number=number)
            note(approval)
            self._write(f"{asked.run}.approved.json", approval.model_dump())
        return approval

    def revoke(self, run: str) -> str:
        """End the approval of a run, and return its name.

        What was answered stays on record: approved again, the run goes on where it was.

        Raises:
            InputError: there is no such run.
        """
        with self._alone():
            name = self.asked(run).run
            approval = self.approval(name)
            if approval is not None:
                ended = approval.model_copy(update={"until": _text(_now()), "ended": True})
                self._write(f"{name}.approved.json", ended.model_dump())
        return name

    def expire(self, run: str, note: Note) -> None:
        """Have it written down, once for each approval, that it has expired."""
        with self._alone():
            approval = self.approval(run)
            if approval is None or approval.ended or self.status(run) != "expired":
                return
            if datetime.datetime.fromisoformat(approval.until) <= _now():  # and not: not yet begun
                note(approval)
                ended = approval.model_copy(update={"ended": True})
                self._write(f"{run}.approved.json", ended.model_dump())

    def answered(self, run: str, number: int) -> dict[str, Any]:
        """Return which questions were answered under an approval."""
        try:
            told = self._load(f"{run}.answered.json")
        except FileNotFoundError:
            return {}
        except ValueError:
            raise RefusalError(
                "the site's record of what it has answered in this run is damaged; its operator "
                "approves the run again (site approve RUN --again)"
            ) from None
        return dict(told["seeds"]) if told.get("number") == number else {}

    def note_answered(self, run: str, number: int, seeds: dict[str, Any]) -> None:
        """Write down which questions were answered, before an answer leaves.

        Raises:
            RefusalError: the approval has ended while the answer was computed.
        """
        with self._alone():
            approval = self.approval(run)
            if self.status(run) != "approved" or approval is None or approval.number != number:
                raise RefusalError(_WAITS)
            self._write(f"{run}.answered.json", {"number": number, "seeds": seeds})

    def _alone(self) -> AbstractContextManager[None]:
        """Keep other processes from changing what is kept here."""
        return alone(self.path / ".lock")

    def _names(self) -> list[str]:
        names = (path.stem for path in self.path.glob("*.json"))
        return sorted(name for name in names if _NAME.fullmatch(name))

    def _read(self, run: str) -> Asked | None:
        """Return a run as it was asked for; None where there is none, or its file is another's."""
        try:
            told = self._load(f"{run}.json")
            agreement = RunAgreement.model_validate(told.pop("agreement"))
            asked = Asked(**told, agreement=agreement)
            text = asked.run == run and isinstance(asked.snapshot, str)
            return asked if text and name_of(agreement, asked.snapshot) == run else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ValidationError):
            return None

    def _load(self, name: str) -> dict[str, Any]:
        told = json.loads(read_own(self.path / name, _LARGEST))
        if not isinstance(told, dict):
            raise ValueError("no object")
        return told

    def _write(self, name: str, told: dict[str, Any]) -> None:
        with whole_file(self.path / name) as part:
            part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            part.chmod(0o600)
        (self.path / name).chmod(0o600)

    def _make_room(self) -> None:
        runs = [asked.run for asked in self.all()]  # the latest first
        waiting = [run for run in runs if self.approval(run) is None]
        over = waiting[_MOST_WAITING - 1 :]
        over += [run for run in runs if self.status(run) == "expired"][_MOST:]
        for run in over:
            for kind in ("json", "approved.json", "answered.json"):
                (self.path / f"{run}.{kind}").unlink(missing_ok=True)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _text(when: datetime.datetime) -> str:
    return when.isoformat(timespec="seconds")
