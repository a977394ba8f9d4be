"""Logistic regression by Newton's steps over the sums of all sites."""

import math
from collections.abc import Sequence

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import NamedGrid, prepare
from ms_pfl.federation.flower import payload_bytes, to_record
from ms_pfl.federation.history import HistoryRow, ProgressReport
from ms_pfl.federation.messages import CLUSTERS, LOGISTIC, MIXED
from ms_pfl.federation.rounds import Federation
from ms_pfl.federation.sums import answer_of, sum_over_sites
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.inputs import Inputs, columns_of
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.training.programs.steps import Exchanged, score_step, selected
from ms_pfl.training.train import CLUSTERED, Task


def newton(task: Task, grid: NamedGrid, seed: int) -> tuple[Federation, Inputs, Arrays]:
    """Fit a logistic regression by Newton's steps on the sums of all sites.

    A step is a round in the history. The last step counts: there is nothing to choose. In a
    personalized paradigm each site has coefficients of its own (:mod:`ms_pfl.learning.mixed`);
    else the covariance of the coefficients is asked for at the end (:func:`covariance_of`).
    """
    settings = task.client()
    parameters = settings.logistic
    assert parameters is not None, "it is a regression"
    question = MIXED if settings.mixed else LOGISTIC

    def tell(number: int, auc: float, *, finished: bool = False) -> None:
        task.report(ProgressReport(seed, number, parameters.steps, auc, finished))

    tell(0, math.nan)
    inputs = task.agree_on_inputs(grid, seed)
    prepare(grid, seed, settings, inputs)
    sent = Exchanged()

    def of(arrays: Arrays) -> Arrays:
        together = task.own.protocol.scaling == "federated"
        total = sum_over_sites(grid, seed, question, arrays, width=inputs.width, scaled=together)
        sent.up += payload_bytes(to_record(answer_of(question, total, sites=1)))  # of a site
        sent.down += payload_bytes(to_record(arrays))
        return total

    history: list[HistoryRow] = []
    if settings.mixed:
        groups = private_groups(inputs, task.sites.features, parameters)
        steps = mixed.steps(of, parameters, groups)
    else:
        steps = logistic.steps(inputs.width, of, parameters)
    for number, (arrays, loss) in enumerate(steps, start=1):  # one at least
        scored = score_step(task, grid, seed, number, arrays, loss, sent)
        history += scored.rows
        tell(number, scored.roc_auc)
    covariance: Arrays = {}
    if not settings.mixed:
        covariance, sent.up = covariance_of(task, grid, seed, arrays, inputs.width)
        sent.down = payload_bytes(to_record(arrays))
    tell(number, scored.roc_auc, finished=True)
    done = Federation(dict(arrays), number, scored.roc_auc, selected(history, number, sent))
    return done, inputs, covariance


def private_groups(
    inputs: Inputs, features: Sequence[str], parameters: LogisticParameters
) -> mixed.Groups:
    """Return the groups of the coefficients that sites have of their own.

    Args:
        inputs: what rows became before the learner sees them.
        features: names of the features, in their order.
        parameters: which name some of them.

    Raises:
        InputError: a feature that is named is none of them.
    """
    made_of, linear = columns_of(inputs)
    private: dict[int, np.ndarray] = {}
    for name in parameters.private:
        if name not in features:
            raise InputError(
                f"training.strategies.logistic: private_slopes or private_shapes name {name!r}, "
                f"which is no feature; there are: {', '.join(features)}"
            )
        every = np.ones(len(made_of), dtype=bool)
        private[features.index(name)] = linear if name in parameters.private_slopes else every
    return mixed.groups_of(made_of, private)


def covariance_of(
    task: Task, grid: NamedGrid, seed: int, arrays: Arrays, width: int
) -> tuple[Arrays, int]:
    """Return the covariance of a fitted regression, clustered by patient, from one more sum.

    Args:
        task: the training.
        grid: its sites, prepared.
        seed: of the fit.
        arrays: the fitted model.
        width: columns of the rows as the learner sees them.

    Returns:
        The covariance under its name, and the bytes of the answer of one site.
    """
    parameters = task.client().logistic
    assert parameters is not None, "it is a regression"
    together = task.own.protocol.scaling == "federated"
    total = sum_over_sites(grid, seed, CLUSTERS, arrays, width=width, scaled=together)
    found = logistic.sandwich(total["hessian"], total["meat"], parameters.ridge)
    up = payload_bytes(to_record(answer_of(CLUSTERS, total, sites=1)))
    return {CLUSTERED: found}, up
