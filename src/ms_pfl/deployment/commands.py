"""`python -m ms_pfl site ...`: what the people of a site look at, approve and check."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.approvals import DAYS, Approval, Approvals
from ms_pfl.deployment.key_commands import pin_file, print_key, show_keys
from ms_pfl.deployment.mask_keys import own_key
from ms_pfl.deployment.policy import (
    SitePolicy,
    first_reason,
    read_policy,
    write_policy,
)
from ms_pfl.deployment.review import described, status_of
from ms_pfl.deployment.security_log import FILES, SecurityLog, verify
from ms_pfl.deployment.site_folder import SiteFolder
from ms_pfl.errors import InputError
from ms_pfl.text import shown

_LEAST_ARGUMENTS = 6  # of start_site.sh


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    parser = command_parser()
    given = parser.parse_args(arguments)
    before = os.umask(0o077)
    try:
        given.command(given)
    except InputError as error:
        print(shown(error, 1000), file=sys.stderr)
        return 1
    except OSError as error:
        where = shown(error.filename or "a file of the site folder", 500)
        print(f"{where} cannot be used ({error.strerror}); nothing was approved", file=sys.stderr)
        return 1
    finally:
        os.umask(before)
    return 0


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands of a site, for the command line and for the reference."""
    parser = argparse.ArgumentParser(prog="python -m ms_pfl site", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        own = commands.add_parser(name, help=text, description=text)
        own.set_defaults(command=run)
        return own

    init = command("init", _init, "write policy.yml and the secret of a new site folder")
    init.add_argument("folder", type=Path)
    for name, field in SitePolicy.model_fields.items():
        text = f"{field.description} ({field.default})"
        init.add_argument(f"--{name.replace('_', '-')}", dest=f"policy_{name}", help=text)
    policy = command("policy", _policy, "check policy.yml, and show what holds")
    review = command("review", _review, "show what is asked of the site, and what will leave it")
    review.add_argument("run", nargs="?", default="")
    approve = command("approve", _approve, "let a run be answered")
    approve.add_argument("run")
    approve.add_argument("--days", type=float, default=DAYS, help=f"until it expires ({DAYS})")
    approve.add_argument(
        "--again", action="store_true", help="let it begin again, as another site's data changed"
    )
    revoke = command("revoke", _revoke, "end an approval")
    revoke.add_argument("run")
    key = command(
        "key", lambda given: print_key(_site(given).path, given.country),
        "print the line of this site's public key of masked sums",
    )  # fmt: skip
    key.add_argument("country")
    keys = command(
        "keys", lambda given: show_keys(_site(given).path),
        "show the pinned keys of masked sums, and what to compare",
    )  # fmt: skip
    pin = command(
        "pin", lambda given: pin_file(_site(given).path, given.file, replace=given.replace),
        "pin the public keys of all sites, compared by telephone",
    )  # fmt: skip
    pin.add_argument("file", type=Path)
    pin.add_argument("--replace", action="store_true", help="a site has a new key or name")
    verify = command("verify-log", _verify_log, "see that the security log is as it was written")
    verify.add_argument("--digest", default="", help="the last one that the other end has kept")
    for own in (policy, review, approve, revoke, verify, key, keys, pin):
        folder = os.environ.get("MS_PFL_SITE", ".")
        own.add_argument(
            "--folder", type=Path, default=Path(folder),
            help="the site folder (else MS_PFL_SITE names it, or it is the present one)",
        )  # fmt: skip
    preflight = command("preflight", _preflight, "see that a site can start here")
    preflight.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _init(given: argparse.Namespace) -> None:
    folder = SiteFolder(given.folder)
    if (folder.path / "policy.yml").exists():
        read_policy(folder.path)
        raise InputError(f"{folder.path / 'policy.yml'} is there already: change it by hand")
    told = {
        name: _value(name, text)
        for name in SitePolicy.model_fields
        if (text := getattr(given, f"policy_{name}")) is not None
    }
    try:
        policy = SitePolicy.model_validate(told)
    except ValidationError as error:
        raise InputError(f"site init: {first_reason(error)}") from None
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.path.chmod(0o700)
    folder.secret()
    print(f"Wrote {write_policy(folder.path, policy)} and the site's secret beside it.")
    own_key(folder.path)
    print("Keep a copy of the file 'secret': without it no run can go on. Nobody else gets it.")
    print(
        "The site masks its sums: print the line of its public key by `site key COUNTRY`, send it "
        "to the server's administrator, and pin the file of all keys that comes back (`site pin`)."
    )


def _value(name: str, text: str) -> object:
    """Return the value of an option: a number where the policy has one, or a list of names."""
    default = SitePolicy.model_fields[name].default
    if name == "runs":
        return text if text == "all" else [one.strip() for one in text.split(",")]
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError:
            return text
    return text


def _policy(given: argparse.Namespace) -> None:
    folder = _site(given)
    policy = read_policy(folder.path)
    for name, value in policy:
        told = ", ".join(value) if isinstance(value, tuple) else value
        print(f"{name:>20}: {told}")


def _review(given: argparse.Namespace) -> None:
    folder = _site(given)
    policy, approvals = read_policy(folder.path), Approvals(folder.path)
    if given.run:
        print("\n".join(described(approvals.asked(given.run), approvals, policy)))
        return
    found = approvals.all()
    for asked in found:
        names = ", ".join(stage.training for stage in asked.agreement.stages)
        print(f"{asked.run}  {status_of(asked, approvals):<40} {names}")
    if not found:
        print("Nothing is asked for.")


def _approve(given: argparse.Namespace) -> None:
    folder = _site(given)
    policy, approvals = read_policy(folder.path), Approvals(folder.path)
    asked = approvals.asked(given.run)
    if beyond := policy.objections(asked.agreement, len(FEATURES)):
        raise InputError(f"run {asked.run} is beyond the policy: {'; '.join(beyond)}")
    log = SecurityLog(folder.path)

    def note(approval: Approval) -> None:
        log.note("approved", run=asked.run, until=approval.until, number=approval.number)

    approval = approvals.approve(asked.run, given.days, again=given.again, note=note)
    print(f"Run {asked.run} is approved until {approval.until}.")


def _revoke(given: argparse.Namespace) -> None:
    folder = _site(given)
    run = Approvals(folder.path).revoke(given.run)
    SecurityLog(folder.path).note("revoked", run=run)
    print(f"Run {run} is not answered any more.")


def _verify_log(given: argparse.Namespace) -> None:
    folder = _site(given)
    found = verify(folder.path, given.digest, FILES)
    print(
        f"The security log is as it was written: {found.lines} lines from number {found.first}, "
        f"last digest {found.digest}"
    )
    if found.first > 1:
        print(
            f"Lines 1 to {found.first - 1} were removed with old files, of which {FILES} are kept: "
            "they cannot be verified here."
        )


def _preflight(given: argparse.Namespace) -> None:
    from ms_pfl.deployment.preflight import preflight  # by need: it looks at the network

    if len(given.arguments) < _LEAST_ARGUMENTS:
        raise InputError("site preflight: give the arguments of deploy/start_site.sh")
    if code := preflight(given.arguments):
        raise SystemExit(code)


def _site(given: argparse.Namespace) -> SiteFolder:
    folder = SiteFolder(given.folder)
    if not folder.path.is_dir():
        raise InputError(f"{folder.path} is no folder: name the site folder by --folder")
    return folder
