"""Trainings on other patients: whole patients drawn with replacement, within each country.

How much a model would differ had its countries had other training patients is shown by models that
the same programs fit to such draws (Davison and Hinkley, Bootstrap Methods and their Application,
1997, section 3.8). Validation patients stay as they are.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ms_pfl.federation.exchange import Node
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.partitions import SPLITS, CountryRows, FederationData
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.paradigms import PARADIGMS, Training, learner_of
from ms_pfl.training.bundle import ModelBundle, bundle_arrays, without_covariances
from ms_pfl.training.resume import UnfinishedTraining
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.train import Sites, train

_TRAIN, _VALIDATION = SPLITS.index("train"), SPLITS.index("validation")


def can_be_refitted(training: Training) -> bool:
    """Return whether a training is cheap enough to be repeated: all but networks."""
    return learner_of(training.strategy) != "network"


def draw_patients(
    patients: NDArray[np.int32], seed: int, country: str, replicate: int
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Draw as many patients as there are, with replacement.

    The draw depends on its arguments alone, and not on other countries.

    Args:
        patients: a number for the patient of each row, shape ``(rows,)``.
        seed: of the split.
        country: whose patients they are.
        replicate: number of the draw.

    Returns:
        Indices of rows, patient by patient with all rows of each, and a number for the drawn
        patient of each, from 0: one who is drawn twice is two.
    """
    rows = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    random = np.random.default_rng(derive_seed(seed, country, "bootstrap", replicate))
    chosen = random.integers(0, len(rows), len(rows))
    numbers = np.repeat(np.arange(len(rows), dtype=np.int32), [len(rows[i]) for i in chosen])
    return np.concatenate([rows[i] for i in chosen]), numbers


def resample(data: FederationData, seed: int, replicate: int) -> FederationData:
    """Return the rows of a seed with other training patients, without ids and test rows.

    Args:
        data: all rows.
        seed: whose split it is.
        replicate: number of the draw.
    """
    countries = {name: _resampled(rows, seed, replicate) for name, rows in data.countries.items()}
    identity = f"{data.identity}, replicate {replicate} of seed {seed}"
    return FederationData(data.features, (seed,), countries, {}, identity)


def refit(
    wanted: Iterable[Training],
    data: Mapping[Training, FederationData],
    settings: TrainingSettings,
    seed: int,
    replicate: int,
) -> dict[Training, dict[str, np.ndarray]]:
    """Fit trainings to one draw of patients, with their own programs, in this process.

    A training that starts from another one starts from that one's fit to the same draw.

    Args:
        wanted: paradigms and strategies.
        data: the rows of each of them, and of what they start from.
        settings: of all trainings.
        seed: whose split is drawn from.
        replicate: number of the draw.

    Returns:
        The arrays of a :class:`ms_pfl.training.bundle.ModelBundle` of this seed, by training.
    """
    done: dict[Training, dict[str, np.ndarray]] = {}
    wanted = list(dict.fromkeys(wanted))
    # a training comes after what it starts from
    order = {start: None for start in map(start_of, wanted) if start} | dict.fromkeys(wanted)
    drawn = {id(rows): resample(rows, seed, replicate) for rows in data.values()}
    for training in order:
        rows = drawn[id(data[training])]
        start = start_of(training)
        starts = None if start is None else ModelBundle(done[start], start, settings).starts()
        (result,) = train(
            training,
            Sites(tuple(rows.countries), rows.features, rows.training_rows),
            settings,
            (seed,),
            device="cpu",
            open_grid=lambda names, seeds, rows=rows: LocalGrid(  # type: ignore[misc]
                rows, [Node(name, one) for name in names for one in seeds]
            ),
            store=UnfinishedTraining(None),
            report=lambda progress: None,
            starts=starts,
        )
        done[training] = dict(without_covariances(bundle_arrays([result], None)))
    return {training: done[training] for training in wanted}


def start_of(training: Training) -> Training | None:
    """Return the training whose models one starts from, if any."""
    before = PARADIGMS[training.paradigm].starts_from
    return None if before is None else Training(before, training.strategy)


def _resampled(rows: CountryRows, seed: int, replicate: int) -> CountryRows:
    codes, patients = rows.splits[seed], rows.patient_codes
    train, validation = np.flatnonzero(codes == _TRAIN), np.flatnonzero(codes == _VALIDATION)
    drawn, numbers = draw_patients(patients[train], seed, rows.country, replicate)
    others = len(numbers) + np.unique(patients[validation], return_inverse=True)[1]
    taken = np.concatenate([train[drawn], validation])
    return CountryRows(
        rows.country,
        rows.x[taken],
        rows.y[taken],
        {seed: np.repeat(np.array([_TRAIN, _VALIDATION], np.int8), [len(drawn), len(validation)])},
        patients=np.concatenate([numbers, others]).astype(np.int32),
        features=rows.features,
    )
