"""A logistic regression at a client: what it answers, fits by itself, and keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ms_pfl.errors import InputError
from ms_pfl.federation.flower import ArrayRecord, forms_of, received
from ms_pfl.federation.from_sums import Candidate
from ms_pfl.federation.messages import CLUSTERS, LOGISTIC, MIXED
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.sums import sums_of_rows
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scoring import Score, score_logits
from ms_pfl.paradigms import PARADIGMS, LearnerName
from ms_pfl.personalization.method import Arrays

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ms_pfl.federation.client import Client


@dataclass(frozen=True)
class Regression:
    """A :class:`ms_pfl.federation.from_sums.FromSums`.

    Attributes:
        settings: of the client.
        own_settings: of the regression, among them.
    """

    settings: ClientSettings
    own_settings: LogisticParameters
    name: ClassVar[LearnerName] = "logistic"

    @property
    def last_counts(self) -> bool:
        """Whether it is one fit, step by step."""
        return PARADIGMS[self.settings.paradigm].role == "pooled"

    @property
    def questions(self) -> tuple[str, ...]:
        """The question of the steps, then that about the fitted model, if any."""
        return (MIXED,) if self.settings.mixed else (LOGISTIC, CLUSTERS)

    def epochs(self) -> tuple[int, int]:
        """Return the epochs with validation rows and without.

        The epochs of the pooled node are the steps of its one fit. An epoch of a site is a model
        with one strength of the penalty, the strongest first. Without validation rows a site takes
        the first model, or the one that it starts from.
        """
        told, row = self.own_settings, PARADIGMS[self.settings.paradigm]
        if row.starts_from is not None:
            return len(told.strengths), 0
        if row.role == "local":
            return len(told.local_ridges) or 1, 1
        return told.steps, told.steps

    def patience(self) -> int | None:
        """Return None: all strengths are tried, all steps are taken."""
        return None

    def read(self, record: ArrayRecord, width: int) -> Arrays:
        """Return the coefficients of a model, with the variances of the sites' own if it is mixed.

        Raises:
            InputError: arrays are missing, unknown, of another type or shape; a variance is below
                0, or of coefficients that sites have in common.
        """
        start = logistic.start(width)
        if self.settings.mixed:
            start = mixed.start(mixed.intercepts(width))
        views = received(record, forms_of(start))
        found = {name: view.copy() for name, view in views.items()}
        if self.settings.mixed:
            variance = found[mixed.VARIANCE]
            if (variance < 0).any():
                raise InputError("a variance of coefficients is below 0")
            if not self.own_settings.private and variance[:-1].any():
                raise InputError("by the settings sites differ in the intercept alone")
        return found

    def answer(self, question: str, client: Client, model: Arrays) -> Arrays:
        """Return a client's sums for a step or for standard errors."""
        train = client.data.train
        return sums_of_rows(question, model, client.inputs_of(train), train.y, train.patients)

    def own(self, client: Client, shared: Arrays) -> Arrays:
        """Return the client's own coefficients, where it has some."""
        if not self.settings.mixed:
            return {}
        train = client.data.train
        return mixed.own(shared, client.inputs_of(train), train.y)

    def score(self, client: Client, shared: Arrays) -> Score:
        """Return the score of a model, with the client's own coefficients."""
        split = client.selection_split()
        model = {**shared, **self.own(client, shared)}
        return score_logits(logistic.logits(model, client.inputs_of(split)), split.y)

    def candidates(self, client: Client, given: Arrays) -> Iterator[Candidate]:
        """Yield the steps of the pooled node, or a model with each strength of the penalty."""
        train = client.data.train
        x, selection = (client.inputs_of(s) for s in (train, client.selection_split()))
        for arrays in self._models(client.width, given, x, train.y):
            z = (logistic.logits(arrays, rows) for rows in (x, selection))
            yield Candidate(arrays, *z)

    def _models(
        self, width: int, given: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]
    ) -> Iterator[Arrays]:
        told = self.own_settings
        if given:
            yield given
            yield from logistic.around(given, x, y, told)
        elif self.last_counts:
            steps = logistic.steps(width, lambda held: logistic.sums(held, x, y), told)
            yield from (arrays for arrays, _ in steps)
        else:
            yield from logistic.alone(x, y, told)
