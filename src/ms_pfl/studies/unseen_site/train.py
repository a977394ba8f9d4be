"""A country that never took part: what the others' model does there, and what its patients add.

One country after the other is left out. The others federate as ever; the scaler knows the others
alone. Then the country arrives with some of its training patients: the others' model is trained on
with them (personal), and a model is trained on them from scratch (local).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.client_app import initial_seed
from ms_pfl.federation.parameters import ProtocolParameters, RayParameters
from ms_pfl.federation.partitions import SPLITS, FederationData, federation_data
from ms_pfl.learning.networks import Network, build_model
from ms_pfl.learning.parameters import TrainingParameters
from ms_pfl.learning.scoring import Rows
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.training import fit
from ms_pfl.names import listed, near_names
from ms_pfl.training.bundle import SavedModel, SavedModels
from ms_pfl.training.outcome import ProgressReport
from ms_pfl.training.parameters import NewCountryParameters, ParadigmParameters
from ms_pfl.training.programs.alone import FitPlan
from ms_pfl.training.programs.fine_tuned import plan_of as plan_to_fine_tune
from ms_pfl.training.programs.fine_tuned import training_of
from ms_pfl.training.programs.local import plan_of as plan_to_train_alone
from ms_pfl.training.resume import UnfinishedTrainings
from ms_pfl.training.train import train

ALL = "all"
COLUMNS = (
    "kind",
    "size",
    "strategy",
    "seed",
    "country",
    "n_patients",
    "n_validation_patients",
    "patient_id",
    "episode_id",
    "label",
    "probability",
)
_SOUND = {"split_unit": "patient", "scaling": "federated", "selection": "validation"}
Follow = Callable[[str], Callable[[ProgressReport], None]]


def leave_one_out(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    parameters: ParadigmParameters,
    new_country: NewCountryParameters,
    grid_parameters: RayParameters,
    with_all: Mapping[str, np.ndarray],
    follow: Follow,
    unfinished: UnfinishedTrainings | None = None,
    every_rounds: int = 1,
) -> pd.DataFrame:
    """Leave each country out in turn, and predict its test episodes with what it could have.

    Args:
        episodes: the episodes table.
        splits: the splits table, by patient.
        parameters: of the trainings; the personal model is trained as ``fine_tuned`` says, the
            local one as ``local``, both scaled by the others' scaler.
        new_country: strategy, countries to leave out, and sizes.
        grid_parameters: where the federations' clients run.
        with_all: the models of the federation of the same strategy in which all took part, which
            this is compared with; seen to be of the same data, splits and settings.
        follow: from a country to what is told of the federation without it.
        unfinished: as for :func:`ms_pfl.training.train.train`, like the next.
        every_rounds: see there.

    Returns:
        A row a test episode, seed and model: kind (``took_part``: the model of all; ``global``: the
        others'; ``personal``; ``local``), size (``0`` for the first two, else a number of ``sizes``
        that is below the country's training patients, or ``all``), strategy, seed, country,
        n_patients (training patients of the country that were used), n_validation_patients (used
        beside them to choose the epoch), patient_id, episode_id, label, probability.

    Raises:
        InputError: a country that is not there, or has no test patient; fewer than two countries;
            models of other data or settings; a protocol with which nobody is held out, or with
            which a model knows no unseen country.
    """
    _check(parameters.protocol)
    countries = countries_to_leave_out(splits, new_country.countries)
    everybody = federation_data(episodes, splits)
    took_part = SavedModels(with_all, parameters)
    took_part.check("federated", new_country.strategy, everybody, parameters)
    parts = []
    for country in countries:
        outcome = train(
            "federated",
            new_country.strategy,
            episodes[episodes["country"] != country],
            splits[splits["country"] != country],
            None,
            parameters,
            grid_parameters,
            None,
            follow(country),
            unfinished,
            every_rounds,
        )
        own = episodes["country"] == country
        data = federation_data(episodes[own], splits[splits["country"] == country])
        saved = SavedModels(outcome.models, parameters)
        for seed in data.seeds:
            start = saved.model(seed, country)
            parts += _predictions(
                data, country, seed, _Arrival(), {"took_part": took_part.model(seed, country)}
            )
            for arrival in _arrivals(data, country, seed, new_country.sizes):
                models = {"global": start}
                if arrival.n_patients:
                    models = _fits(data, country, seed, start, arrival, parameters)
                parts += _predictions(data, country, seed, arrival, models)
    table = pd.concat(parts, ignore_index=True).assign(strategy=new_country.strategy)
    return table.astype({"strategy": "str"})[list(COLUMNS)]


def countries_to_leave_out(splits: pd.DataFrame, chosen: int | str | Sequence[str]) -> list[str]:
    """Names of the countries to leave out: those named, or the largest by training patients.

    Only a country with a test patient in every seed can be left out.

    Raises:
        InputError: a country is not among those, or there is none beside it to learn from.
    """
    patients = splits.groupby(["country", "seed", "split"]).size().unstack(fill_value=0)
    patients = patients.reindex(columns=list(SPLITS), fill_value=0)
    lowest = patients.groupby(level="country").min()
    if len(lowest) < 2:
        raise InputError("new_country: there is one country, and no other to learn from")
    fit_for_it = lowest[(lowest["test"] > 0) & (lowest["train"] > 0)]
    by_size = fit_for_it.sort_index().sort_values("train", ascending=False, kind="stable")
    names = [str(name) for name in by_size.index]
    if chosen == ALL:
        wanted = names
    elif isinstance(chosen, int):
        wanted = names[:chosen]
    else:
        wanted = [chosen] if isinstance(chosen, str) else list(chosen)
        for name in wanted:
            if name not in names:
                alike = near_names(name, names)
                hint = f"did you mean {alike[0]!r}? " if alike else ""
                raise InputError(
                    f"new_country.countries: {name!r} is no country with training and test "
                    f"patients in every seed; {hint}there are: {listed(sorted(names))}"
                )
    if not wanted:
        raise InputError("new_country: no country has a test patient in every seed")
    return wanted


@dataclass(frozen=True)
class _Arrival:
    """The patients that a new country comes with: rows to train on and to choose the epoch by."""

    size: str = "0"
    n_patients: int = 0
    n_validation_patients: int = 0
    train: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    validation: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))


def _arrivals(
    data: FederationData, country: str, seed: int, sizes: Sequence[int]
) -> Iterator[_Arrival]:
    """Ever more of a country's patients: none, then those of each size, then all.

    The order is drawn once a seed and country, so the patients of a size are among those of every
    larger one. Validation patients come in proportion, at least one where there is any.
    """
    patients = data.ids[country]["patient_id"].to_numpy(dtype=object)
    codes = data.rows(country).splits[seed]
    order = {}
    for i, split in enumerate(SPLITS[:2]):
        ids = np.unique(patients[codes == i])
        random = np.random.default_rng(derive_seed(seed, country, "new country", split))
        order[split] = random.permutation(ids)
    n, n_validation = len(order["train"]), len(order["validation"])

    def arrival(size: str, count: int) -> _Arrival:
        share = min(n_validation, max(1, round(n_validation * count / n)))
        train = (codes == 0) & np.isin(patients, order["train"][:count])
        validation = (codes == 1) & np.isin(patients, order["validation"][:share])
        return _Arrival(size, count, share, np.flatnonzero(train), np.flatnonzero(validation))

    yield _Arrival()
    for count in sizes:
        if count < n:
            yield arrival(str(count), count)
    yield arrival(ALL, n)


def _fits(
    data: FederationData,
    country: str,
    seed: int,
    start: SavedModel,
    arrival: _Arrival,
    parameters: ParadigmParameters,
) -> dict[str, SavedModel]:
    """The models of a country's own patients: trained on from the others', and from scratch."""
    rows, n_features = data.rows(country), len(data.features)
    # as the ClientApp has them before the first message
    blank, further = (
        build_model("mlp", n_features, parameters.model, 0, own).to(start.device)
        for own in (initial_seed(seed), 0)
    )
    further.load_state_dict(start.network.state_dict())
    fits: Mapping[str, tuple[Network, FitPlan, TrainingParameters]] = {
        "personal": (further, plan_to_fine_tune(parameters), training_of(parameters)),
        "local": (blank, plan_to_train_alone(parameters), parameters.training),
    }
    to_train, to_select = (
        Rows(
            torch.tensor(start.scaler.apply(rows.x[index]), device=start.device),
            torch.tensor(rows.y[index], device=start.device),
        )
        for index in (arrival.train, arrival.validation)
    )
    for network, plan, training in fits.values():
        fit(
            network,
            to_train,
            to_select,
            training,
            epochs=plan.epochs,
            patience=plan.patience,
            epochs_without_validation=plan.epochs_without_validation,
            start_is_candidate=plan.start_is_candidate,
            seed=derive_seed(seed, country, "personalize"),
        )
    return {
        kind: SavedModel(network, start.scaler, start.scaled, start.device)
        for kind, (network, _, _) in fits.items()
    }


def _predictions(
    data: FederationData,
    country: str,
    seed: int,
    arrival: _Arrival,
    models: Mapping[str, SavedModel],
) -> list[pd.DataFrame]:
    """The country's test rows as some models see them, by kind."""
    rows = data.rows(country)
    test = rows.splits[seed] == SPLITS.index("test")
    told = data.ids[country].loc[test].astype({"label": "int8"})
    texts = ("kind", "size", "country", "patient_id", "episode_id")
    return [
        told.assign(
            kind=kind,
            size=arrival.size,
            seed=np.int64(seed),
            country=country,
            n_patients=arrival.n_patients,
            n_validation_patients=arrival.n_validation_patients,
            probability=model.predict(rows.x[test]),
        ).astype(dict.fromkeys(texts, "str"))
        for kind, model in models.items()
    ]


def _check(protocol: ProtocolParameters) -> None:
    for name, sound in _SOUND.items():
        if (value := getattr(protocol, name)) != sound:
            raise InputError(
                f"new_country: with protocol.{name}: {value} it cannot be told how a model serves "
                f"a country that never took part; set protocol.{name}: {sound}"
            )
