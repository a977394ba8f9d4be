"""Boosted trees at a client: what it answers, grows by itself, and keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.flower import ArrayRecord, Form, Part, parts_of, received, record_of
from ms_pfl.federation.from_sums import Candidate
from ms_pfl.federation.messages import HISTOGRAMS, LABELS
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.learning import trees
from ms_pfl.learning.learners import as_own
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.scoring import Score, score_logits
from ms_pfl.learning.tree_sites import TreeSite, alone, on_top
from ms_pfl.learning.tree_steps import COLUMNS, check_question
from ms_pfl.learning.trees import Margins, Model, Walk, by_feature
from ms_pfl.paradigms import PARADIGMS, LearnerName
from ms_pfl.personalization.method import Arrays

if TYPE_CHECKING:
    from ms_pfl.federation.client import Client


@dataclass
class _Grown:
    """What a client knows of the trees so far; it is found again where it is lost."""

    settings: TreesParameters
    private_trees: bool
    site: TreeSite
    shared: Margins
    private: Margins


@lru_cache(maxsize=8)
def _read(parts: tuple[Part, ...], settings: str, width: int) -> Arrays:
    """Return the arrays of a message, which many clients in one process get at once; not to be
    changed."""
    told, record = TreesParameters.model_validate_json(settings), record_of(parts)
    number = record[trees.VALUE].shape[0] if trees.VALUE in record else 0
    if not 0 <= number <= told.trees:
        raise InputError(f"there are {number} trees, and {told.trees} at most by the settings")
    nodes = 2**told.depth - 1
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(trees.SPLITS, (number, nodes)),
        trees.VALUE: (number, nodes + 1),
        trees.BASE: (1,),
    }
    forms = {name: Form(trees.TYPES[name], shape) for name, shape in shapes.items()}
    if asked := COLUMNS in record:
        forms[COLUMNS] = Form("int16", tuple(record[COLUMNS].shape))
    found = received(record, forms)
    if asked:
        check_question(found, width, told)
    else:
        trees.check(found, width)
    return found


@dataclass(frozen=True)
class Boosting:
    """A :class:`ms_pfl.federation.from_sums.FromSums`.

    Attributes:
        settings: of the client.
        own_settings: of the trees, among them.
    """

    settings: ClientSettings
    own_settings: TreesParameters
    name: ClassVar[LearnerName] = "trees"
    last_counts: ClassVar[bool] = False
    questions: ClassVar[tuple[str, ...]] = (LABELS, HISTOGRAMS)

    @cached_property
    def _told(self) -> str:
        return self.own_settings.model_dump_json()

    @property
    def private(self) -> bool:
        """Whether each site has private trees beside the shared ones."""
        return self.settings.sites_differ

    def epochs(self) -> tuple[int, int]:
        """Return the epochs with validation rows and without.

        An epoch is ``evaluate_every`` trees. The first model of a node without a start has no tree:
        without validation rows it is taken, as is the given one.
        """
        told, starts = self.own_settings, PARADIGMS[self.settings.paradigm].starts_from is not None
        most = told.own_trees if starts else told.trees
        looks = math.ceil(most / told.evaluate_every)
        return (looks, 0) if starts else (1 + looks, 1)

    def patience(self) -> int | None:
        """Return after how many epochs without a better one a node stops."""
        return math.ceil(self.own_settings.patience / self.own_settings.evaluate_every)

    def read(self, record: ArrayRecord, width: int) -> Arrays:
        """Return the arrays of a model, or of a question about a tree.

        Raises:
            InputError: they are none over so many features, or with more trees than the settings
                have.
        """
        return _read(parts_of(record), self._told, width)

    def answer(self, question: str, client: Client, model: Arrays) -> Arrays:
        """Return a client's rows by label, or the histograms of a level of a tree."""
        site = self._grown(client).site
        if question == LABELS:
            return {"labels": site.labels}
        if COLUMNS not in model:
            raise InputError("the question names no features")
        return {"histogram": site.histogram(model), "loss": site.loss}

    def own(self, client: Client, shared: Arrays) -> Arrays:
        """Return the client's private trees, where it has some."""
        if not self.private:
            return {}
        return as_own(self._grown(client).site.private_trees(shared))

    def score(self, client: Client, shared: Arrays) -> Score:
        """Return the score of a model, with the client's private trees."""
        split, grown = client.selection_split(), self._grown(client)
        z = grown.shared.of(shared)
        if self.private:
            z = z + grown.private.of(grown.site.private_trees(shared))
        return score_logits(z, split.y)

    def candidates(self, client: Client, given: Arrays) -> Iterator[Candidate]:
        """Yield the model without a tree of the client's own, then with more and more of them."""
        train, split, told = client.data.train, client.selection_split(), self.own_settings
        codes, selection = client.inputs_of(train), client.inputs_of(split)
        monotone = self._monotone(client)
        grown: Iterator[Model]
        if given:
            grown = on_top(given, codes, train.y, told, monotone)
        else:
            grown = alone(codes, train.y, told, client.data.seed, monotone)
        margins = Margins(Walk(by_feature(codes))), Margins(Walk(by_feature(selection)))
        last: Model | None = None
        for number, model in enumerate(grown):
            last = None if number % told.evaluate_every == 0 else model
            if last is None:
                yield Candidate(model, *(own.of(model) for own in margins))
        if last is not None:
            yield Candidate(last, *(own.of(last) for own in margins))

    def _monotone(self, client: Client) -> np.ndarray:
        return self.own_settings.directions(client.data.features or ("",) * client.width)

    def _grown(self, client: Client) -> _Grown:
        kept: _Grown | None = client.scratch.get("trees")
        told, private = self.own_settings, self.private
        if kept is None or kept.private_trees != private or kept.settings != told:
            train, split = client.data.train, client.selection_split()
            codes, monotone = client.inputs_of(train), self._monotone(client)
            selection = by_feature(client.inputs_of(split))
            kept = client.scratch["trees"] = _Grown(
                told,
                private,
                TreeSite(codes, train.y, told, monotone, private=private),
                Margins(Walk(selection)),
                Margins(Walk(selection)),
            )
        return kept
