"""A country that never took part: what the others' model does there, and what its patients add.

One country after the other is left out. The others federate as ever; the inputs know the others
alone. Then the country arrives with some of its training patients, as the one client of a grid: the
others' model is trained on with them (personal), and a model is trained on them from scratch
(local).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.federation.partitions import SPLITS, FederationData, federation_data
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.names import listed, near_names
from ms_pfl.paradigms import PARADIGMS, Training, learner_of
from ms_pfl.studies.parameters import NewCountryParameters
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.resume import UnfinishedTraining
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Compute, train_tables
from ms_pfl.training.train import Sites, Start, train

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
_GLOBAL = "federated"
_TEST = SPLITS.index("test")
_SOUND = {"split_unit": "patient", "scaling": "federated", "selection": "validation"}
Follow = Callable[[str], Callable[[ProgressReport], None]]


def leave_one_out(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    settings: TrainingSettings,
    new_country: NewCountryParameters,
    compute: Compute,
    with_all: Mapping[str, np.ndarray],
    follow: Follow,
) -> pd.DataFrame:
    """Leave each country out in turn, and predict its test episodes with what it could have.

    Args:
        episodes: the episodes table.
        splits: the splits table, by patient.
        settings: of the trainings; the personal model is trained as ``fine_tuned`` says, the
            local one as ``local``, both with the others' inputs.
        new_country: strategy, countries to leave out, and sizes.
        compute: where and how the federations' clients run.
        with_all: the models of the federation of the same strategy in which all took part, which
            this is compared with; seen to be of the same data, splits and settings.
        follow: from a country to what is told of the federation without it.

    Returns:
        A row per test episode, seed and model: kind (``took_part``: the model of all; ``global``:
        the others'; ``personal``; ``local``), size (``0`` for the first two, else a number of
        ``sizes`` that is below the country's training patients, or ``all``), strategy, seed,
        country, n_patients (training patients of the country that were used),
        n_validation_patients (used beside them to choose the epoch), patient_id, episode_id,
        label, probability.

    Raises:
        InputError: a country that is not there, or has no test patient; fewer than two countries;
            models of other data or settings; a protocol with which nobody is held out, or with
            which a model knows no unseen country.
    """
    _check(settings.protocol)
    training = Training(_GLOBAL, new_country.strategy)
    countries = countries_to_leave_out(splits, new_country.countries)
    took_part = ModelBundle.of(
        with_all, training, settings, federation_data(episodes, splits), compute.device
    )
    parts = []
    for country in countries:
        outcome = train_tables(
            training,
            episodes[episodes["country"] != country],
            splits[splits["country"] != country],
            settings,
            compute,
            follow(country),
        )
        data = federation_data(
            episodes[episodes["country"] == country], splits[splits["country"] == country]
        )
        without = ModelBundle(outcome.models, training, settings, compute.device)
        starts = without.starts()
        for seed in data.seeds:
            rows = data.rows(country)
            x = rows.x[rows.splits[seed] == _TEST]
            for arrival in _arrivals(data, country, seed, new_country.sizes):
                if arrival.n_patients:
                    found = _fits(
                        data,
                        country,
                        starts[seed],
                        arrival,
                        settings,
                        compute,
                        (seed, new_country.strategy),
                    )
                else:
                    found = {
                        "took_part": took_part.predict(seed, country, x),
                        "global": without.predict(seed, country, x),
                    }
                parts += _predictions(data, country, seed, arrival, found)
    table = pd.concat(parts, ignore_index=True).assign(strategy=new_country.strategy)
    return table.astype({"strategy": "str"})[list(COLUMNS)]


def countries_to_leave_out(splits: pd.DataFrame, chosen: int | str | Sequence[str]) -> list[str]:
    """Names of the countries to leave out: those named, or the largest by training patients.

    Only a country with a test patient in every seed can be left out.

    Raises:
        InputError: a country is not among those, or there is none beside it to learn from.
    """
    patients = splits.groupby(["country", "seed", "split"]).size().unstack(fill_value=0)
    lowest = patients.reindex(columns=list(SPLITS), fill_value=0).groupby(level="country").min()
    if len(lowest) < 2:
        raise InputError("new_country: there is one country, and no other to learn from")
    fit_for_it = lowest[(lowest["test"] > 0) & (lowest["train"] > 0)].sort_index()
    by_size = fit_for_it.sort_values("train", ascending=False, kind="stable")
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

    The order is drawn once per seed and country, so the patients of a size are among those of every
    larger one. Validation patients come in proportion, at least one where there is any.
    """
    patients = data.ids[country]["patient_id"].to_numpy(dtype=object)
    codes = data.rows(country).splits[seed]

    def shuffled(split: int) -> NDArray[np.object_]:
        random = np.random.default_rng(derive_seed(seed, country, "new country", SPLITS[split]))
        return random.permutation(np.unique(patients[codes == split]))

    trained, validated = shuffled(0), shuffled(1)
    n, n_validation = len(trained), len(validated)

    def arrival(size: str, count: int) -> _Arrival:
        share = min(n_validation, max(1, round(n_validation * count / n)))
        train = (codes == 0) & np.isin(patients, trained[:count])
        validation = (codes == 1) & np.isin(patients, validated[:share])
        return _Arrival(size, count, share, np.flatnonzero(train), np.flatnonzero(validation))

    yield _Arrival()
    for count in sizes:
        if count < n:
            yield arrival(str(count), count)
    yield arrival(ALL, n)


def _fits(
    data: FederationData,
    country: str,
    start: Start,
    arrival: _Arrival,
    settings: TrainingSettings,
    compute: Compute,
    of: tuple[int, str],
) -> dict[str, NDArray[np.float64]]:
    """Return what models of a country's own patients say of its test rows, by kind.

    They are trained on from the others' model, and from scratch, by the ClientApp of all trainings.
    ``of``: seed and strategy of the others' model; the country's are of the same learner.
    """
    seed, strategy = of
    rows = data.rows(country)
    codes = np.full(len(rows.y), -1, dtype=np.int8)  # of no split
    codes[arrival.train], codes[arrival.validation] = 0, 1
    codes[rows.splits[seed] == _TEST] = _TEST
    arrived = replace(data, countries={country: replace(rows, splits={seed: codes})})
    found = {}
    for kind, paradigm in (("personal", "fine_tuned"), ("local", "local")):
        (result,) = train(
            Training(paradigm, _first_alike(paradigm, strategy)),
            Sites((country,), data.features),
            settings,
            (seed,),
            device=compute.device,
            open_grid=lambda names, seeds: LocalGrid(arrived, [Node(country, seed)]),
            store=UnfinishedTraining(None),
            report=lambda _: None,
            starts={seed: start},
        )
        found[kind] = result.probabilities[country]["test"]
    return found


def _first_alike(paradigm: str, strategy: str) -> str:
    """Return the first strategy of a paradigm that fits what another strategy does."""
    wanted = learner_of(strategy)
    return next(own for own in PARADIGMS[paradigm].strategies if learner_of(own) == wanted)


def _predictions(
    data: FederationData,
    country: str,
    seed: int,
    arrival: _Arrival,
    found: Mapping[str, NDArray[np.float64]],
) -> list[pd.DataFrame]:
    """Return the country's test rows with what some models say of them, by kind."""
    test = data.ids[country][data.rows(country).splits[seed] == _TEST]
    return [
        test.assign(
            label=test["label"].astype("int8"),
            kind=kind,
            size=arrival.size,
            seed=np.int64(seed),
            country=country,
            n_patients=arrival.n_patients,
            n_validation_patients=arrival.n_validation_patients,
            probability=probability,
        ).astype(dict.fromkeys(("kind", "size", "country", "patient_id", "episode_id"), "str"))
        for kind, probability in found.items()
    ]


def _check(protocol: ProtocolParameters) -> None:
    for name, sound in _SOUND.items():
        if (value := getattr(protocol, name)) != sound:
            raise InputError(
                f"new_country: with training.protocol.{name}: {value} it cannot be told how a "
                "model serves a country that never took part; set training.protocol."
                f"{name}: {sound}"
            )
