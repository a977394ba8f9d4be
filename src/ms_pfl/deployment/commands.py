"""`python -m ms_pfl site ...`: what the people of a site look at, approve and check."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.agreement import Stage
from ms_pfl.deployment.approvals import DAYS, Approval, Approvals, Asked
from ms_pfl.deployment.mask_keys import code_of, line_of, own_key, pin, pinned, read_keys
from ms_pfl.deployment.policy import (
    SitePolicy,
    first_reason,
    number_of_weights,
    read_policy,
    write_policy,
)
from ms_pfl.deployment.security_log import FILES, SecurityLog, verify
from ms_pfl.deployment.settings import in_quotes
from ms_pfl.deployment.site_folder import SiteFolder
from ms_pfl.errors import InputError
from ms_pfl.federation.inputs import questions_of
from ms_pfl.federation.messages import FIRST_CELLS, SCALER, SECOND_CELLS
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.secure_sums import public_key
from ms_pfl.paradigms import PARADIGMS, model_name
from ms_pfl.personalization.method import method_class
from ms_pfl.text import shown

_LEAST_ARGUMENTS = 6  # of start_site.sh
_INPUTS = {
    SCALER: "number, sum and sum of squares of each of {} features",
    FIRST_CELLS: "number of values of each of {} features in each cell of a fixed grid",
    SECOND_CELLS: "the same on a finer grid, and how many rows miss two features at once,",
}
_SCORES = {
    "plain": (
        "log-loss sum, rows and ROC-AUC of the validation rows",
        "of each epoch training loss, validation loss and ROC-AUC; no weights",
        "number, number with the outcome, ROC-AUC, log-loss, Brier score",
    ),
    "keep": (
        "log-loss sum of the validation rows, masked",
        "how many epochs, and which was the best; no losses, no weights",
        "number; masked: number with the outcome, log-loss, Brier score",
    ),
    "tell": (
        "log-loss sum of the validation rows, masked; their ROC-AUC",
        "of each epoch training loss, validation loss and ROC-AUC; no weights",
        "number, number with the outcome, ROC-AUC, log-loss, Brier score",
    ),
}
"""What is told of a site's scores in each round, by a training alone, and at the end."""
_NEWTON = (
    "gradient ({0} numbers), Hessian ({0} x {0}), log-loss and rows of the training rows, for each "
    "of some {1} models: cells of few patients are in them (small_cells)"
)


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
    key = command("key", _key, "print the line of this site's public key of masked sums")
    key.add_argument("country")
    keys = command("keys", _keys, "show the pinned keys of masked sums, and what to compare")
    pin = command("pin", _pin, "pin the public keys of all sites, compared by telephone")
    pin.add_argument("file", type=Path)
    pin.add_argument("--replace", action="store_true", help="a site has a new key")
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


def _key(given: argparse.Namespace) -> None:
    folder = _site(given)
    print(line_of(given.country, public_key(own_key(folder.path))), end="")


def _keys(given: argparse.Namespace) -> None:
    folder = _site(given)
    keys = pinned(folder.path)
    if not keys:
        print("No key is pinned: the site takes part in no run that masks its sums.")
        return
    own = public_key(own_key(folder.path))
    for country in sorted(keys):
        here = " (this site)" if keys[country] == own else ""
        print(line_of(country, keys[country]).rstrip() + here)
    print(
        f"Code of all of them: {code_of(keys)}\nCall the people of each other site, by a number "
        "that you know and not by one that came with the file, and compare the code: where it is "
        "the same at both, so is each key."
    )


def _pin(given: argparse.Namespace) -> None:
    folder = _site(given)
    new = pin(folder.path, read_keys(given.file), replace=given.replace)
    SecurityLog(folder.path).note("pinned", code=code_of(pinned(folder.path)), new=new)
    print(f"Pinned: {in_quotes(new) if new else 'nothing new'}.")
    _keys(given)


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
        print(f"{asked.run}  {_status(asked, approvals):<40} {names}")
    if not found:
        print("Nothing is asked for.")


def _status(asked: Asked, approvals: Approvals) -> str:
    approval = approvals.approval(asked.run)
    match approvals.status(asked.run):
        case "approved":
            assert approval is not None
            return f"approved until {approval.until}"
        case "expired":
            assert approval is not None
            return f"expired {approval.until}"
        case _:
            return f"waits since {asked.first}"


def described(asked: Asked, approvals: Approvals, policy: SitePolicy) -> Iterator[str]:
    """Yield what a run asks of the site, in lines of plain words."""
    agreement = asked.agreement
    yield f"Run {asked.run} ({_status(asked, approvals)})"
    yield f"Sites: {shown('; '.join(agreement.sites), 2000)}"
    seeds = ", ".join(map(str, agreement.seeds))
    yield f"Divisions of the patients (seeds): {shown(seeds)}"
    yield f"Split: {agreement.splits.train:g} training, {agreement.splits.validation:g} " + (
        f"validation, {agreement.splits.test:g} test"
    )
    protocol = agreement.protocol
    if protocol.selection == "test":
        yield "NOTE: rounds are chosen by test rows (the published audit, not a sound protocol)"
    if protocol.split_unit == "episode":
        yield "NOTE: episodes of one patient are in several splits (the published audit)"
    cohort = agreement.cohort
    yield f"Outcome: {cohort.outcome} within {cohort.horizon_days} days, rule {cohort.rule}"
    if agreement.masked:
        yield (
            "Sums leave masked: the server reads their total over all sites alone. A coalition of "
            "the server and all other sites but one still learns no more than the sum of the two."
        )
    else:
        yield "NOTE: sums leave in the clear (plain_sums): the server reads those of this site."
    for stage in agreement.stages:
        yield ""
        yield from _stage(stage, policy.scores if agreement.masked else "plain")
    yield ""
    yield "Never leaves: rows, identifiers, dates, predictions, personal arrays."
    yield (
        f"Numbers are told of sets of {policy.floor} patients or more; a feature that fewer have "
        "is withheld, and so are ROC-AUC and the number with the outcome of a split where fewer "
        "have it."
    )
    for text in policy.objections(agreement, len(FEATURES)):
        yield f"BEYOND THE POLICY, refused even if approved: {text}"
    encoded = any(stage.settings.inputs.kind != "standard" for stage in agreement.stages)
    if agreement.masked:
        yield (
            "Cells of few patients are in the masked sums alone: the total over all sites tells "
            "how many have each value of each feature, or are in each bin or node."
        )
        yield (
            "scores: tell. This site's own losses and ROC-AUC leave beside the masked sums."
            if policy.scores == "tell"
            else "scores: keep. This site's own losses and ROC-AUC stay here; log-losses and Brier "
            "scores are in the masked sums."
        )
    elif encoded and policy.small_cells == "allow":
        yield (
            "small_cells: allow. The counts for encoding or bins of the inputs tell how many rows "
            "have each value of each feature, also where these are rows of fewer than "
            f"{policy.floor} patients."
        )
    elif encoded:
        yield (
            "REFUSED even if approved: encoded or binned inputs are agreed on by counts of few "
            "patients (small_cells: refuse)."
        )
    plain = not agreement.masked
    trees = any(stage.kind == "trees" for stage in agreement.stages)
    if plain and policy.small_cells == "allow" and trees:
        yield (
            "small_cells: allow. The histograms of boosted trees tell sums over the rows of each "
            "bin of each feature in each node, also where these are rows of fewer than "
            f"{policy.floor} patients. The server chooses the splits and the values of the leaves."
        )
    newton = plain and any(stage.kind == "newton" for stage in agreement.stages)
    if newton and policy.small_cells == "allow":
        yield (
            "small_cells: allow. The sums for a logistic regression tell, of each indicator (a "
            "course, an onset, a treatment), how many rows have it, and the sums of all features "
            "over those with the outcome, also where these are rows of fewer than "
            f"{policy.floor} patients. The server chooses the models after the first one: one with "
            "large coefficients can single out the row of one patient."
        )
    elif newton and not encoded:
        yield (
            "small_cells: refuse. The site takes no part where fewer than "
            f"{policy.floor} patients have a value of an indicator, or of two at once (the outcome "
            "is one)."
        )
    yield ""
    yield f"Approve it: python -m ms_pfl site approve {asked.run} --days {DAYS}"


def _stage(stage: Stage, scores: str) -> Iterator[str]:
    of_a_round, alone_here, at_the_end = _SCORES[scores]
    settings, n = stage.settings, len(FEATURES)
    inputs = settings.inputs
    width = inputs.largest_width(n)
    about = f"{n}" if inputs.kind != "encoded" else f"at most {width} columns made of {n}"
    paradigm, strategy = stage.training.split(".")
    network, optimizer = settings.network, settings.optimizer
    kind = method_class(settings.paradigm).kind
    yield f"{model_name(paradigm, strategy)} ({stage.training})"
    if settings.logistic is not None:
        steps = settings.logistic.steps
        yield f"  Model: logistic regression of {about} features, at most {steps} steps"
    elif settings.trees is not None:
        told = settings.trees
        yield f"  Model: at most {told.trees} boosted trees of depth {told.depth} over {n} features"
    else:
        weights = number_of_weights(kind, width, network)
        most = "" if inputs.kind == "standard" else "at most "
        yield (
            f"  Model: network of {most}{weights:,} weights ({network.hidden_layers} layers of "
            f"{network.width} units); {optimizer.kind}, learning rate "
            f"{optimizer.learning_rate:g}, {optimizer.batch_size or 'all'} rows per step"
        )
    alone = PARADIGMS[paradigm].starts_from is None
    if stage.kind == "rounds":
        yield f"  Training: at most {stage.rounds} rounds of {stage.epochs} epochs"
    elif stage.kind == "alone":
        where = "from initial weights" if alone else "from the model of the stage before"
        yield f"  Training: {where}, by itself, at most {stage.epochs} epochs"
    yield "  What will leave, per seed:"
    for question in questions_of(inputs):
        yield f"  - {_INPUTS[question].format(n)} over the training rows, once"
    if stage.kind == "rounds":
        yield (
            "  - after each round the shared weights as trained here, times the training rows"
            + (
                " (SCAFFOLD: and the change of the control variate)"
                if paradigm == "scaffold"
                else ""
            )
        )
        yield f"  - each round: training loss; {of_a_round}"
    elif stage.kind == "trees":
        yield "  - once the numbers of training rows with and without the outcome"
        yield f"  - {_trees(settings)}"
        yield f"  - each look: {of_a_round}"
    elif stage.kind == "newton":
        models = stage.rounds * (1 + settings.mixed) + 1
        yield f"  - {_NEWTON.format(width + 1, models)}"
        if not settings.mixed:
            yield (
                f"  - at the end, for standard errors, Hessian and sum of squares over patients "
                f"({width + 1} x {width + 1} each) of the last model"
            )
        else:
            private = settings.logistic.private if settings.logistic else ()
            which = (
                f"intercept and each coefficient of {', '.join(private)}"
                if private
                else "intercept"
            )
            yield (
                f"  - with each of them the square of how far the {which} of this site is from "
                "the common one; the gradient tells the same to whoever sees it alone"
            )
        yield f"  - each step: {of_a_round}"
    else:
        yield f"  - {alone_here}"
    yield f"  - once, of validation and test rows: {at_the_end}"


def _trees(settings: ClientSettings) -> str:
    told = settings.trees
    assert told is not None, "the stage grows some"
    drawn = max(1, round(told.columns * len(FEATURES)))
    return (
        f"for each level of each tree, of up to {2 ** max(0, told.depth - 2)} nodes: sums of "
        f"slopes and curvatures of the log-loss over the training rows in each of {told.bins + 1} "
        f"bins of {drawn} features, and the log-loss of all"
    )


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
