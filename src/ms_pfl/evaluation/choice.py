"""Which training serves new patients: chosen on validation patients alone.

The lowest mean log-loss over all sites and seeds wins, unless a simpler training is within one
standard error of it (Breiman et al., 1984, of the paired difference, by patient). A site gets a
training of its own where enough of its validation patients say so beyond doubt. What is fitted on
validation patients itself, intercepts and weights, is judged on patients that it was not fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.evaluation.calibration import inside
from ms_pfl.evaluation.ensemble import CANDIDATES, ENSEMBLE, mix, weigh
from ms_pfl.evaluation.recalibration import ALL, correct
from ms_pfl.paradigms import (
    PARADIGMS,
    STRATEGIES,
    Training,
    learner_of,
    model_name,
    paradigm_row,
    paradigms_with,
)

AUTO, SERVED = "auto", "served"
RECALIBRATED = "recalibrated"
#: Validation patients, over all seeds, from which on a site may differ from the others.
ENOUGH_PATIENTS = 50
_FOLDS = 5
_LEVEL = 0.05
# from simple to complex; what is not here is like the paradigm before it in its table
_SIMPLE = ("federated", RECALIBRATED, "fine_tuned", "adaptive", "local", ENSEMBLE)
_LEARNERS = ("logistic", "trees", "network")
# risks of some rows, given by position, by what is known of part of them
Fit = Callable[[NDArray[np.intp], NDArray[np.bool_]], NDArray[np.float64]]
_KEY = ["seed", "country", "patient_id", "episode_id"]


class Choice(Section):
    """What serves new patients, and why."""

    paradigm: str = Field(description="that serves the countries that trained, but for ``sites``")
    strategy: str = Field(description="of it")
    shared: str = Field(description="training of the model for all other countries")
    members: tuple[str, ...] = Field(min_length=1, description="trainings whose models are kept")
    weights: dict[int, dict[str, tuple[float, ...]]] = Field(
        description="by seed and country, of the members' logits; each adds up to 1; '' stands for "
        "countries without a validation patient"
    )
    sites: dict[str, tuple[str, str]] = Field(
        default_factory=dict, description="countries that another paradigm and strategy serves"
    )
    why: tuple[str, ...] = Field(default=(), description="sentences")

    def of(self, country: str) -> Training:
        """Return the paradigm and strategy that serve a country."""
        return Training(*self.sites.get(country, (self.paradigm, self.strategy)))

    def corrected(self) -> list[str]:
        """Return the countries whose risks an intercept corrects, :data:`ALL` among them."""
        countries = {country for of_seed in self.weights.values() for country in of_seed}
        return [c for c in sorted(countries | {ALL}) if self.of(c).paradigm == RECALIBRATED]

    def weights_of(self, seed: int, country: str) -> tuple[float, ...]:
        """Return what the members weigh in a country."""
        own = self.weights[seed]
        return own.get(country, own[ALL])


@dataclass(frozen=True)
class _Losses:
    """Log-losses of validation rows, and the patients and seeds that they are of."""

    rows: pd.DataFrame
    values: dict[Training, NDArray[np.float64]]

    def compare(
        self, model: Training, other: Training, at: NDArray[np.bool_]
    ) -> tuple[float, float]:
        """Return the mean over seeds of a difference in log-loss, and its standard error."""
        gap = (self.values[model] - self.values[other])[at]
        rows = self.rows[at]
        by_seed = pd.Series(gap).groupby(rows["seed"].to_numpy())
        n, seeds = by_seed.transform("size").to_numpy(), rows["seed"].nunique()
        shares = (gap - by_seed.transform("mean").to_numpy()) / n / seeds
        patients = rows.groupby(["country", "patient_id"], sort=False).ngroup().to_numpy()
        sums = np.bincount(patients, shares)
        k = len(sums)
        se = math.sqrt(float(np.square(sums).sum()) * k / (k - 1)) if k > 1 else math.inf
        return float(by_seed.mean().mean()), se

    def mean(self, model: Training) -> float:
        """Return the mean over seeds of a model's log-loss."""
        return float(pd.Series(self.values[model]).groupby(self.rows["seed"]).mean().mean())


def servable() -> list[str]:
    """Return the paradigms that can serve new patients, in the order of the tables."""
    roles = ("global", "recalibrated", "local", "personalized", "ensemble")
    first = paradigms_with("recalibrated")[0].name
    return [
        row.name
        for row in PARADIGMS.values()
        if row.role in roles and (row.role != "recalibrated" or row.name == first)
    ]


def simplicity(model: Training) -> tuple[int, int, int]:
    """Return a sorting key: the simplest paradigm first, then the simplest learner.

    >>> simplicity(Training("federated", "fedavg")) < simplicity(Training("adaptive", "logistic"))
    True
    """
    name = model.paradigm
    if name not in _SIMPLE:
        name = "federated" if paradigm_row(name).role == "global" else "adaptive"
    strategies = list(STRATEGIES)
    place = strategies.index(model.strategy) if model.strategy in strategies else len(strategies)
    return _SIMPLE.index(name), _LEARNERS.index(learner_of(model.strategy)), place


def choose(predictions: pd.DataFrame, paradigm: str = AUTO, strategy: str = AUTO) -> Choice:
    """Choose what serves new patients, by validation rows alone.

    Args:
        predictions: of all trainings, in the predictions contract; its validation rows are read.
        paradigm: :data:`AUTO`, or the paradigm that was set.
        strategy: :data:`AUTO`, or the only strategy that is considered.

    Raises:
        InputError: there is no such training among the predictions; or no validation row that all
            have, from which to choose.
    """
    validation = predictions[predictions["split"] == "validation"]
    known = [
        Training(str(p), str(s))
        for p, s in validation[["paradigm", "strategy"]].drop_duplicates().to_numpy()
    ]
    if paradigm != AUTO:
        served = _named(known, paradigm, strategy)
        name = model_name(*served)
        why = [f"The predictor serves {name}, as prediction.paradigm is set."]
        return _choice(validation, known, served, {}, why, None)
    losses = _losses(validation, strategy)
    everywhere = np.ones(len(losses.rows), dtype=bool)
    best = min(losses.values, key=lambda model: (losses.mean(model), simplicity(model)))
    served = min(_close(losses, losses.values, best, everywhere), key=simplicity)
    sites = _sites(losses, served)
    patients = len(losses.rows[["country", "patient_id"]].drop_duplicates())
    why = [*_reasons(losses, served, best, everywhere, patients)]
    why += [_reason_of_site(losses, country, model, served) for country, model in sites.items()]
    return _choice(validation, known, served, sites, why, losses)


def serve(choice: Choice, *tables: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of what serves each country, as the paradigm :data:`SERVED`.

    Args:
        choice: what serves.
        tables: of all trainings, recalibrated models and ensembles.
    """
    parts = []
    for table in tables:
        targets = pd.Series({c: choice.of(str(c)).name for c in table["country"].unique()})
        names = table["paradigm"].astype(str) + "." + table["strategy"].astype(str)
        parts.append(table[(names == table["country"].map(targets)).to_numpy()])
    return pd.concat(parts, ignore_index=True).assign(paradigm=SERVED, strategy="none")


def _named(known: Sequence[Training], paradigm: str, strategy: str) -> Training:
    """Return the model that was set by name."""
    row = paradigm_row(paradigm)
    if strategy not in row.strategies and row.strategies:
        strategy = row.strategies[0]
    needed = {RECALIBRATED: ("federated",), ENSEMBLE: CANDIDATES}.get(paradigm, (paradigm,))
    for name in needed:
        if (name, strategy) not in known:
            raise InputError(
                f"Parameter 'prediction': {Training(name, strategy).name} is not trained in this "
                "run; run `kedro run --pipeline=further_methods`, or name a training of the study"
            )
    return Training(paradigm, strategy)


def _losses(validation: pd.DataFrame, strategy: str) -> _Losses:
    """Log-losses of all that can be served; of what is fitted on validation rows, on others."""
    wide = validation.assign(
        model=validation["paradigm"].astype(str) + "." + validation["strategy"].astype(str)
    ).pivot(index=[*_KEY, "label"], columns="model", values="probability")
    rows = wide.index.to_frame(index=False)
    folds = _folds(rows)
    found: dict[Training, NDArray[np.float64]] = {}
    trained = {Training(*str(name).split(".", 1)): wide[name].to_numpy(np.float64) for name in wide}
    whole = {model: risks for model, risks in trained.items() if not np.isnan(risks).any()}
    for model, risks in whole.items():
        if model.paradigm in servable() and strategy in (AUTO, model.strategy):
            found[model] = risks
    for model in list(found):
        if model.paradigm == paradigms_with("global")[0].name:
            found[Training(RECALIBRATED, model.strategy)] = _crossfit(
                rows, folds, _correcting(rows, found[model])
            )
            members = [Training(name, model.strategy) for name in CANDIDATES]
            mixed = np.array([whole[name] for name in members if name in whole])
            if len(mixed) > 1:
                found[Training(ENSEMBLE, model.strategy)] = _crossfit(
                    rows, folds, _mixing(rows, mixed)
                )
    if rows.empty or not found:
        raise InputError(
            "prediction.paradigm: auto chooses on validation patients, and no training has a "
            "prediction of any; name a paradigm and a strategy instead"
        )
    labels = rows["label"].to_numpy()
    p = {model: inside(risks) for model, risks in found.items()}
    values = {m: -np.where(labels == 1, np.log(q), np.log1p(-q)) for m, q in p.items()}
    return _Losses(rows, values)


def _folds(rows: pd.DataFrame) -> NDArray[np.intp]:
    """Return a patient's fold, in turn by country and name: the same in every seed."""
    people = (
        rows[["country", "patient_id"]].drop_duplicates().sort_values(["country", "patient_id"])
    )
    people = people.assign(fold=np.arange(len(people)) % _FOLDS)
    return rows.merge(people, on=["country", "patient_id"], how="left")["fold"].to_numpy(np.intp)


def _correcting(rows: pd.DataFrame, risks: NDArray[np.float64]) -> Fit:
    """Recalibration of a model's risks on some rows, by what is known of others."""
    return lambda at, known: correct(rows.iloc[at].assign(probability=risks[at]), known)


def _mixing(rows: pd.DataFrame, risks: NDArray[np.float64]) -> Fit:
    """Return an ensemble of candidates on some rows, by what is known of others."""
    return lambda at, known: mix(rows.iloc[at], risks[:, at], known)


def _crossfit(rows: pd.DataFrame, folds: NDArray[np.intp], fit: Fit) -> NDArray[np.float64]:
    """Risks of each fold from what the others show, seed by seed."""
    risks = np.empty(len(rows))
    seeds = rows["seed"].to_numpy()
    for seed in np.unique(seeds):
        positions = np.flatnonzero(seeds == seed)
        own = folds[positions]
        for fold in np.unique(own):
            held = own == fold
            risks[positions[held]] = fit(positions, ~held)[held]
    return risks


def _close(
    losses: _Losses, models: Iterable[Training], best: Training, at: NDArray[np.bool_]
) -> list[Training]:
    """Return the models whose log-loss is within one standard error of the best one's."""
    gaps = {model: losses.compare(model, best, at) for model in models}
    return [model for model, (gap, se) in gaps.items() if model == best or gap <= se]


def _sites(losses: _Losses, served: Training) -> dict[str, Training]:
    """Return the countries that another model serves better, beyond what their number makes
    likely."""
    from scipy.stats import norm

    people = losses.rows[["country", "patient_id"]].drop_duplicates()["country"].value_counts()
    large = sorted(str(c) for c, n in people.items() if n >= ENOUGH_PATIENTS)
    others = [model for model in losses.values if model != served]
    if not large or not others:
        return {}
    bound = float(norm.isf(_LEVEL / len(large) / len(others)))
    found = {}
    for country in large:
        at = (losses.rows["country"] == country).to_numpy()
        gains = {model: losses.compare(model, served, at) for model in others}
        better = [m for m, (gap, se) in gains.items() if se > 0 and -gap / se > bound]
        if better:
            best = min(better, key=lambda model: (gains[model][0], simplicity(model)))
            found[country] = min(_close(losses, better, best, at), key=simplicity)
    return found


def _reasons(
    losses: _Losses,
    served: Training,
    best: Training,
    everywhere: NDArray[np.bool_],
    patients: int,
) -> Iterator[str]:
    text = (
        f"The predictor serves {model_name(*served)}, chosen of {len(losses.values)} models on "
        f"{patients:,} validation patients: "
    )
    if served == best:
        yield (
            f"{text}it has the lowest log-loss ({losses.mean(best):.4f}), and no simpler one is "
            "within one standard error of it."
        )
    else:
        se = losses.compare(served, best, everywhere)[1]
        yield (
            f"{text}its log-loss of {losses.mean(served):.4f} is within one standard error "
            f"({se:.4f}) of the lowest, {losses.mean(best):.4f} of {model_name(*best)}, and of "
            "all such models it is the simplest."
        )


def _reason_of_site(losses: _Losses, country: str, model: Training, served: Training) -> str:
    at = (losses.rows["country"] == country).to_numpy()
    gap, se = losses.compare(model, served, at)
    patients = losses.rows.loc[at, "patient_id"].nunique()
    return (
        f"{model_name(*model)} serves {country}: on its {patients:,} validation patients the "
        f"log-loss is lower by {-gap:.4f} (standard error {se:.4f})."
    )


def _choice(
    validation: pd.DataFrame,
    known: Sequence[Training],
    served: Training,
    sites: Mapping[str, Training],
    why: Sequence[str],
    losses: _Losses | None,
) -> Choice:
    """Say whose models are kept, and how much each country weighs them."""
    federated = paradigms_with("global")[0].name
    alike = [model for model in known if model.paradigm == federated]
    shared = [model for model in alike if model.strategy == served.strategy] or alike
    if not shared:
        raise InputError(
            "a predictor needs a federated model for countries that took no part; train "
            "the paradigm federated too"
        )
    if losses is not None:
        shared.sort(key=lambda m: losses.mean(m) if m in losses.values else math.inf)
    targets = {served, *sites.values()}
    parts = {
        target: [Training(name, target.strategy) for name in CANDIDATES
                 if (name, target.strategy) in known]
        if target.paradigm == ENSEMBLE
        else [Training(federated if target.paradigm == RECALIBRATED else target.paradigm,
                       target.strategy)]
        for target in targets
    }  # fmt: skip
    members = sorted({model for models in parts.values() for model in models}, key=simplicity)
    countries = sorted(str(name) for name in validation["country"].unique())
    weights: dict[int, dict[str, tuple[float, ...]]] = {}
    for seed, rows in validation.groupby("seed", sort=True):
        mixed = {t: _weights(rows, models) for t, models in parts.items()}
        weights[int(str(seed))] = {
            country: _of_country(members, parts[target], mixed[target].get(country))
            for country in (ALL, *countries)
            for target in [sites.get(country, served)]
        }
    return Choice(
        paradigm=served.paradigm,
        strategy=served.strategy,
        shared=shared[0].name,
        members=tuple(model.name for model in members),
        weights=weights,
        sites={country: (model.paradigm, model.strategy) for country, model in sites.items()},
        why=tuple(why),
    )


def _weights(rows: pd.DataFrame, models: Sequence[Training]) -> dict[str, NDArray[np.float64]]:
    """Return the weights of an ensemble by country; none for a single model."""
    if len(models) == 1:
        return {}
    own = [
        rows[(rows["paradigm"] == p) & (rows["strategy"] == s)].sort_values(_KEY) for p, s in models
    ]
    return weigh(own[0], np.array([part["probability"].to_numpy(np.float64) for part in own]))


def _of_country(
    members: Sequence[Training], models: Sequence[Training], own: NDArray[np.float64] | None
) -> tuple[float, ...]:
    """Return the weights of all members in a country; equal ones where it has no validation
    patient."""
    values = np.full(len(models), 1 / len(models)) if own is None else own
    of_model = dict(zip(models, map(float, values), strict=True))
    return tuple(of_model.get(member, 0.0) for member in members)
