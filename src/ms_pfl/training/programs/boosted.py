"""Boosted trees over the histograms of all sites."""

import logging
import math

from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.exchange import NamedGrid, prepare
from ms_pfl.federation.flower import payload_bytes, to_arrays, to_record
from ms_pfl.federation.history import HistoryRow, ProgressReport
from ms_pfl.federation.messages import HISTOGRAMS, LABELS
from ms_pfl.federation.rounds import Federation, RoundState
from ms_pfl.federation.sums import answer_of, sum_over_sites
from ms_pfl.learning import trees
from ms_pfl.learning.inputs import Inputs
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_steps import steps
from ms_pfl.learning.trees import Model, Vector
from ms_pfl.text import shown
from ms_pfl.training.programs.steps import Exchanged, ScoredModel, score_step, selected
from ms_pfl.training.train import Task

_log = logging.getLogger(__name__)


def boosted(
    task: Task, grid: NamedGrid, seed: int, checkpoints: Checkpoints
) -> tuple[Federation, Inputs]:
    """Grow boosted trees together, tree by tree, and keep those of the lowest validation log-loss.

    A round of the history is the number of trees at a look at the validation rows, which comes
    every ``evaluate_every`` trees. In a personalized paradigm each site has private trees beside
    the shared ones (:mod:`ms_pfl.learning.tree_sites`).

    Args:
        task: the training.
        grid: its sites.
        seed: of splits, and of the features that are drawn for each tree.
        checkpoints: what an earlier process left of this fit, and where this one keeps its trees.
    """
    settings = task.client()
    told = settings.trees
    assert told is not None, "these are trees"
    directions = told.directions(task.sites.features)
    inputs = task.agree_on_inputs(grid, seed)
    prepare(grid, seed, settings, inputs)
    state = _latest(checkpoints, told, inputs.width)
    sent = Exchanged()
    loss = math.nan

    def tell(number: int, auc: float, note: str = "", *, finished: bool = False) -> None:
        task.report(ProgressReport(seed, number, told.trees, auc, finished, note=note))

    def of(question: Model) -> Vector:
        nonlocal loss
        total = sum_over_sites(grid, seed, HISTOGRAMS, question, width=inputs.width, trees=told)
        sent.up += payload_bytes(to_record(answer_of(HISTOGRAMS, total, sites=1)))
        sent.down += payload_bytes(to_record(question))
        loss = float(total["loss"][0]) / rows
        return total["histogram"]

    tell(
        state.round if state else 0, math.nan, f"goes on after tree {state.round}" if state else ""
    )
    labels = sum_over_sites(grid, seed, LABELS, width=inputs.width)["labels"]
    rows = float(labels.sum())
    begin = None if state is None else to_arrays(state.arrays)
    for model in steps(of, labels, inputs.width, told, seed, directions, begin):
        number = trees.count(model)
        if number and number % told.evaluate_every == 0 and (not state or number > state.round):
            scored = score_step(task, grid, seed, number, model, loss, sent)
            state = _after(state, number, model, scored)
            checkpoints.keep(state)
            tell(number, scored.roc_auc)
        if state is not None and number - state.best_round >= told.patience:
            break
    else:
        if state is None or state.round < number:  # the last tree came between two looks
            scored = score_step(task, grid, seed, number, model, loss, sent)
            state = _after(state, number, model, scored)
    assert state is not None, "one tree at least has been scored"
    history = selected(state.history, state.best_round)
    tell(state.round, state.best_roc_auc, finished=True)
    best = to_arrays(state.best_arrays)
    return Federation(best, state.best_round, state.best_roc_auc, history), inputs


def _after(
    before: RoundState | None, number: int, model: Arrays, scored: ScoredModel
) -> RoundState:
    """Return the state after a look: the lowest log-loss counts, the fewer trees in a tie.

    Without validation rows the latest model counts.
    """
    better = before is None or not before.best_value <= scored.loss
    history: tuple[HistoryRow, ...] = () if before is None else before.history
    record = to_record(model)
    return RoundState(
        round=number,
        arrays=record,
        moments={},
        further={},
        private={},
        trained=(),
        history=(*history, *scored.rows),
        roc_auc=scored.roc_auc,
        best_round=number if better or before is None else before.best_round,
        best_value=scored.loss if better or before is None else before.best_value,
        best_roc_auc=scored.roc_auc if better or before is None else before.best_roc_auc,
        best_arrays=record if better or before is None else before.best_arrays,
    )


def _latest(checkpoints: Checkpoints, told: TreesParameters, width: int) -> RoundState | None:
    """Return the state of a checkpoint with trees such as these; None: from the first tree."""
    state = checkpoints.latest()
    if state is None:
        return None
    try:
        for record in (state.arrays, state.best_arrays):
            trees.check(to_arrays(record), width)
        if trees.count(to_arrays(state.arrays)) != state.round or state.round > told.trees:
            raise InputError("it holds another number of trees than it says")
    except InputError as error:
        _log.warning("A checkpoint holds other trees; the fit starts over. %s", shown(error))
        return None
    return state
