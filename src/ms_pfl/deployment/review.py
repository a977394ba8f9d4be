"""What a run asks of a site, in plain words: what its operator reads before approving it."""

from __future__ import annotations

from collections.abc import Iterator

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.agreement import Stage
from ms_pfl.deployment.approvals import DAYS, Approvals, Asked
from ms_pfl.deployment.policy import SitePolicy, number_of_weights
from ms_pfl.federation.inputs import questions_of
from ms_pfl.federation.messages import FIRST_CELLS, SCALER, SECOND_CELLS
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.paradigms import PARADIGMS, model_name
from ms_pfl.personalization.method import method_class
from ms_pfl.text import shown

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


def status_of(asked: Asked, approvals: Approvals) -> str:
    """Return whether a run is approved, and since or until when."""
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
    yield f"Run {asked.run} ({status_of(asked, approvals)})"
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
