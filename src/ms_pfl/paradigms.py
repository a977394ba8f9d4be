"""Which paradigms and strategies there are: one row each, from which every list is derived.

A *paradigm* is how sites learn together, a *strategy* is the server's rule or the learner of a
training, a *training* is a paradigm with a strategy (``federated.fedavg``). Pipelines, planned
comparisons, colors, labels, the order of tables and the values that settings may have follow from
the rows, which are read when they are needed. Data only: whoever trains imports what a row names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["pooled", "local", "global", "personalized", "recalibrated", "ensemble", "served"]
Family = Literal["study", "further"]
LearnerName = Literal["network", "logistic", "trees"]


@dataclass(frozen=True)
class Strategy:
    """A row of the table of strategies.

    Attributes:
        name: as in datasets, settings and tables.
        label: as people read it; empty where a paradigm has nothing to choose.
        learner: what is fitted.
        family: ``study``: in the main job; ``further``: in the pipeline of further methods.
    """

    name: str
    label: str
    learner: LearnerName = "network"
    family: Family = "study"


@dataclass(frozen=True)
class Paradigm:
    """A row of the table of paradigms.

    Attributes:
        name: as in datasets, settings and tables.
        label: as people read it.
        color: of its lines and points.
        role: what it is compared with follows from it, see :func:`references_of`.
        strategies: that it is trained with.
        program: ``module:function`` in :mod:`ms_pfl.training.programs`; None: made of predictions.
        method: ``module:class`` in :mod:`ms_pfl.personalization`: what travels, what stays.
        rounds: whether it trains in rounds; else history counts epochs.
        starts_from: the paradigm whose models it trains on from.
        between_sites: whether real sites can train it.
        family: Holm's adjustment runs within a family; the main job trains the study's.
    """

    name: str
    label: str
    color: str
    role: Role
    strategies: tuple[str, ...]
    program: str | None = None
    method: str = "partial:SharedNetwork"
    rounds: bool = False
    starts_from: str | None = None
    between_sites: bool = True
    family: Family = "study"


class Training(NamedTuple):
    """A paradigm with a strategy."""

    paradigm: str
    strategy: str

    @property
    def name(self) -> str:
        """As datasets and settings have it: ``federated.fedavg``."""
        return f"{self.paradigm}.{self.strategy}"

    @property
    def argument(self) -> str:
        """As a node's argument has it: ``federated_fedavg``."""
        return f"{self.paradigm}_{self.strategy}"


_FEDERATED = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad")
_FROM_SUMS = ("logistic", "trees")
_TOGETHER = (*_FEDERATED, *_FROM_SUMS)

STRATEGIES: dict[str, Strategy] = {
    row.name: row
    for row in (
        Strategy("pooled", ""),
        Strategy("none", ""),
        Strategy("fedavg", "FedAvg"),
        Strategy("fedprox", "FedProx"),
        Strategy("fedadam", "FedAdam"),
        Strategy("fedyogi", "FedYogi"),
        Strategy("fedadagrad", "FedAdagrad"),
        Strategy("logistic", "logistic regression", learner="logistic", family="further"),
        Strategy("trees", "boosted trees", learner="trees", family="further"),
    )
}
# In the order of the tables. Colors: after Okabe and Ito's palette, with a contrast of at least 3
# with the light and with the dark page (WCAG 2.2, 1.4.11); those of the study's paradigms differ
# for color-blind readers too.
PARADIGMS: dict[str, Paradigm] = {
    row.name: row
    for row in (
        Paradigm(
            "centralized", "Centralized", "#C98500", "pooled", ("pooled", *_FROM_SUMS),
            program="alone:centralized", between_sites=False,
        ),
        Paradigm(
            "local", "Local", "#BF2D00", "local", ("none", *_FROM_SUMS), program="alone:local"
        ),
        Paradigm(
            "federated", "Federated", "#0094FF", "global", _TOGETHER,
            program="federated:federated", rounds=True,
        ),
        Paradigm(
            "recalibrated", "Recalibrated", "#8C8C8C", "recalibrated", _TOGETHER
        ),
        Paradigm(
            "recalibrated_slope", "Recalibrated with slope", "#6A6A6A", "recalibrated",
            _TOGETHER,
        ),
        Paradigm(
            "fine_tuned", "Fine-tuned", "#009E73", "personalized", _TOGETHER,
            program="alone:fine_tuned", starts_from="federated",
        ),
        Paradigm(
            "adaptive", "Adaptive", "#CC79A7", "personalized", _TOGETHER,
            program="federated:federated", method="partial:DualBranch", rounds=True,
        ),
        Paradigm(
            "private_intercept", "Private intercept", "#0068B4", "personalized", ("fedavg",),
            program="federated:federated", method="private_intercept:PrivateIntercept",
            rounds=True, family="further",
        ),
        Paradigm(
            "proximal_copy", "Proximal copy", "#715D84", "personalized", ("fedavg",),
            program="federated:federated", method="proximal_copy:ProximalCopy",
            rounds=True, family="further",
        ),
        Paradigm(
            "scaffold", "SCAFFOLD", "#4062FF", "global", ("fedavg",),
            program="federated:federated", method="scaffold:Scaffold",
            rounds=True, family="further",
        ),
        Paradigm("ensemble", "Ensemble", "#676F35", "ensemble", _TOGETHER, family="further"),
        Paradigm(
            "served", "Predictor's choice", "#4E96C7", "served", ("none",), family="further"
        ),
    )
}  # fmt: skip
_UNKNOWN_COLOR = "#808080"


def paradigm_row(name: str) -> Paradigm:
    """Return the row of a paradigm; one without a row is taken for a personalized one, in gray."""
    label = name.replace("_", " ").capitalize()
    return PARADIGMS.get(name) or Paradigm(name, label, _UNKNOWN_COLOR, "personalized", ())


def strategy_row(name: str) -> Strategy:
    """Return the row of a strategy; one without a row keeps its name, and fits a network."""
    return STRATEGIES.get(name) or Strategy(name, name)


def paradigms_with(role: Role) -> list[Paradigm]:
    """Return the paradigms of a role, in the order of the tables."""
    return [row for row in PARADIGMS.values() if row.role == role]


def family_of(paradigm: str, strategy: str) -> Family:
    """Return the family of a training: ``further`` if its paradigm or its strategy is."""
    families = (paradigm_row(paradigm).family, strategy_row(strategy).family)
    return "further" if "further" in families else "study"


def trainings(*families: Family, paradigm: str | None = None) -> list[Training]:
    """Return what is trained, by paradigm and then by strategy.

    Args:
        families: that are wanted; all if none is named.
        paradigm: the one that is wanted; all if None.
    """
    return [
        Training(row.name, strategy)
        for row in PARADIGMS.values()
        for strategy in row.strategies
        if row.program is not None
        and paradigm in (None, row.name)
        and (not families or family_of(row.name, strategy) in families)
    ]


def learner_of(strategy: str) -> LearnerName:
    """Return what a strategy fits; a network where the strategy has no row."""
    return strategy_row(strategy).learner


def references_of(paradigm: str) -> list[str]:
    """Return the paradigms that one is compared with, in the order of the comparisons.

    Everything that is trained is compared with pooled and with local training; what is
    personalized, and an ensemble, also with the global model and with that model recalibrated site
    by site, and a further global or a recalibrated model with the global one. The first row of a
    role stands for it. A paradigm without a row is taken for a personalized one.
    """
    wanted: dict[Role, tuple[Role, ...]] = {
        "pooled": (),
        "local": ("pooled",),
        "global": ("pooled", "local", "global"),
        "personalized": ("pooled", "local", "global", "recalibrated"),
        "recalibrated": ("global",),
        "ensemble": ("pooled", "local", "global", "recalibrated"),
        "served": ("pooled", "local"),
    }
    firsts = [paradigms_with(role)[:1] for role in wanted[paradigm_row(paradigm).role]]
    return [row.name for first in firsts for row in first if row.name != paradigm]


def planned_pairs(models: Sequence[tuple[str, str]]) -> list[tuple[Training, Training]]:
    """Return each model with what it is compared with: same learner, and same strategy if it can.

    >>> for pair in planned_pairs(
    ...     [("local", "none"), ("federated", "fedavg"), ("adaptive", "fedavg")]
    ... ):
    ...     print(*(training.name for training in pair))
    federated.fedavg local.none
    adaptive.fedavg local.none
    adaptive.fedavg federated.fedavg
    """
    known = [Training(*model) for model in models]
    pairs = []
    for reference in PARADIGMS:
        for model in known:
            if reference not in references_of(model.paradigm):
                continue
            alike = [
                other
                for other in known
                if other.paradigm == reference
                and learner_of(other.strategy) == learner_of(model.strategy)
            ]
            pairs += [
                (model, other)
                for other in alike
                if len(alike) == 1 or other.strategy == model.strategy
            ]
    return pairs


def color_of(paradigm: str) -> str:
    """Return the color of a paradigm; gray where it has no row."""
    return paradigm_row(paradigm).color


def trains_in_rounds(paradigm: str) -> bool:
    """Return whether a paradigm's history counts rounds."""
    return paradigm_row(paradigm).rounds


def is_recalibrated(paradigm: str) -> bool:
    """Return whether a paradigm is made of another one's predictions."""
    return paradigm_row(paradigm).role == "recalibrated"


def is_trained(paradigm: str) -> bool:
    """Return whether a paradigm is trained; False: it is made of others' predictions."""
    return paradigm not in PARADIGMS or PARADIGMS[paradigm].program is not None


def paradigm_name(paradigm: str) -> str:
    """Return the paradigm in full words; one without a row keeps its own name."""
    return paradigm_row(paradigm).label


def strategy_name(strategy: str) -> str:
    """Return the strategy in full words, empty where a paradigm has none to choose."""
    return strategy_row(strategy).label


def model_name(paradigm: str, strategy: str) -> str:
    """Return what the tables call a paradigm trained with a strategy.

    >>> model_name("fine_tuned", "fedavg")
    'Fine-tuned FedAvg'
    >>> model_name("centralized", "pooled")
    'Centralized'
    """
    if paradigm_row(paradigm).strategies == (strategy,):
        return paradigm_name(paradigm)
    return f"{paradigm_name(paradigm)} {strategy_name(strategy)}".strip()


def model_key(paradigm: str, strategy: str) -> tuple[int, str, int, str]:
    """Return a sorting key: Table 1's order, that is by strategy, then by paradigm.

    Centralized and local come first because their strategies (``pooled``, ``none``) do.
    What has no row comes last, by name.
    """
    strategies, paradigms = list(STRATEGIES), list(PARADIGMS)
    return (
        strategies.index(strategy) if strategy in STRATEGIES else len(strategies),
        strategy,
        paradigms.index(paradigm) if paradigm in PARADIGMS else len(paradigms),
        paradigm,
    )


def in_order(models: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (paradigm, strategy) pairs in the order of Table 1."""
    return sorted(models, key=lambda pair: model_key(*pair))


def models_in_order(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the distinct (paradigm, strategy) pairs of a table in the order of Table 1."""
    pairs = frame[["paradigm", "strategy"]].drop_duplicates().itertuples(index=False, name=None)
    return in_order((str(p), str(s)) for p, s in pairs)
