"""Three sites with synthetic tables, and the project's configuration at a small size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from in_process_flower import Flower, Happening, config_of, write_sites_file
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.splits import split_patients
from ms_pfl.deployment.agreement import RunAgreement
from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.gathering import gather
from ms_pfl.deployment.mask_keys import pin
from ms_pfl.deployment.policy import SitePolicy, write_policy
from ms_pfl.deployment.server import run, training_between_sites
from ms_pfl.deployment.settings import ServerSettings, read_parameters
from ms_pfl.federation.checkpoints import read_arrays
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.secure_sums import public_key
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.parameters import Parameters
from ms_pfl.registry.ingest.tables import read_folder
from ms_pfl.training.simulation import Compute, Outcome, train_tables

PROJECT = Path(__file__).resolve().parents[2]
PEOPLE = 1600
"""That leave 19 patients or more in each split of three sites: above the floor of a policy."""
COUNTRIES = ("Australia", "Czech Republic", "Turkey")
SMALL = {
    "seeds": [0, 1],
    "synthetic_registry": {"n_patients": PEOPLE},
    "training": {
        "inputs": {"kind": "standard"},
        "network": {"width": 8, "extension_width": 4, "hidden_layers": 1},
        "optimizer": {"batch_size": 64, "learning_rate": 5.0e-3},
        "strategies": {"fedavg": {"epochs": 1}},
        "federation": {"rounds": 3, "patience": None},
        "fine_tuned": {"epochs": 2, "patience": 2},
        "local": {"epochs": 2, "patience": 2},
    },
    "device": "cpu",
}


_SIMULATED: dict[Training, Outcome] = {}


def secret_of(country: str) -> bytes:
    """The secret of a test's site: the same in each test, so that its splits are."""
    return hashlib.sha256(country.encode()).digest()


def mask_key_of(country: str) -> bytes:
    """The private key of a test's site, which its masks follow from."""
    return hashlib.sha256(f"mask {country}".encode()).digest()


def site_splits(
    episodes: pd.DataFrame, parameters: Parameters, secrets: Callable[[str], bytes] = secret_of
) -> pd.DataFrame:
    """The splits that the sites make of their episodes, each with its own secret."""
    parts = [
        split_patients(own, parameters.seeds, parameters.splits, secrets(str(country)))
        for country, own in episodes.groupby("country", sort=True)
    ]
    return pd.concat(parts, ignore_index=True)


def simulated(registries: Path, project: Path, training: Training) -> Outcome:
    """A training's outcome for the three countries, in this process."""
    if training not in _SIMULATED:
        own = read_parameters(str(project), "")
        episodes = build_episodes(read_folder(registries / "all"), own.cohort).episodes
        before = PARADIGMS[training.paradigm].starts_from
        start = None
        if before is not None:
            start = simulated(registries, project, Training(before, training.strategy)).models
        _SIMULATED[training] = train_tables(
            training,
            episodes,
            site_splits(episodes, own),
            own.training,
            Compute(RayParameters(num_workers=0, address=None), own.device),
            lambda _: None,
            start,
        )
    return _SIMULATED[training]


@dataclass(frozen=True)
class Sites:
    """The sites of a test: their tables (shared, read-only), and folders of its own."""

    registries: Path
    project: Path
    folder: Path
    numbers: dict[str, int] = field(
        # not in the order of the names
        default_factory=lambda: dict(zip(COUNTRIES, (907, 11, 405), strict=True))
    )

    @property
    def parameters(self) -> Parameters:
        return read_parameters(str(self.project), "")

    def site(self, country: str) -> Path:
        return self.folder / "sites" / country

    @property
    def output(self) -> Path:
        return self.folder / "server"

    def init(self, country: str, folder: Path | None = None, **policy: object) -> Path:
        """A site folder as `site init` writes it, with the secret of the test, once."""
        folder = folder or self.site(country)
        if not (folder / "policy.yml").exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "secret").write_bytes(secret_of(country))
            (folder / "secret").chmod(0o600)
            (folder / "mask.key").write_bytes(mask_key_of(country))
            (folder / "mask.key").chmod(0o600)
            names = {*COUNTRIES, *self.numbers, country}
            pin(folder, {name: public_key(mask_key_of(name)) for name in names})
            told: dict[str, Any] = {"small_cells": "allow", "plain_sums": "allow", **policy}
            write_policy(folder, SitePolicy.model_validate(told))
        return folder

    def change_policy(self, country: str, **policy: object) -> None:
        """Another policy of a site that has one."""
        told = {"plain_sums": "allow", **policy}
        write_policy(self.site(country), SitePolicy.model_validate(told))

    def approvals(self, country: str) -> Approvals:
        return Approvals(self.site(country))

    def flower(self, happening: Happening | None = None, *, approve: bool = True) -> Flower:
        """The sites, whose operators approve what they are asked, or do not."""
        return Flower(
            {
                number: config_of(country, self.registries / country, self.init(country))
                for country, number in self.numbers.items()
            },
            happening,
            approve=approve,
        )

    def settings(self, paradigm: str, **more: object) -> ServerSettings:
        return ServerSettings(
            project=str(self.project),
            paradigm=paradigm,
            output=str(self.output),
            **(  # type: ignore[arg-type]
                {
                    "sites": ", ".join(COUNTRIES),
                    "keys": str(write_sites_file(self.folder / "sites.yml", self.numbers)),
                    "wait_for_sites": 5.0,
                }
                | more
            ),
        )

    def run(self, flower: Flower, paradigm: str, **more: object) -> Path:
        return run(flower, self.settings(paradigm, **more))

    def meet(self, flower: Flower, **settings: object) -> dict[str, object]:
        """What the sites tell of themselves."""
        own = self.settings("adaptive", **settings)
        agreed = RunAgreement.of(
            Training("adaptive", "fedavg"), self.parameters, own.countries, own.sums
        )
        return dict(gather(flower, own, agreed))

    def simulate(self, paradigm: str, strategy: str = "fedavg") -> Outcome:
        """The same countries in a simulation; computed once."""
        training = training_between_sites(paradigm, strategy)
        return simulated(self.registries, self.project, training)

    def kept(self, country: str, training: str, pattern: str = "*") -> list[Path]:
        """The files that a site has kept of a training, in whatever run."""
        return sorted(self.site(country).glob(f"runs/*/{training}/{pattern}"))

    def predictions(self, training: str) -> pd.DataFrame:
        """What all sites keep of a training."""
        paths = [
            path
            for country in COUNTRIES
            for path in self.kept(country, training, "predictions.*.parquet")
        ]
        return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


KEYS = ["seed", "country", "patient_id", "episode_id", "split", "label"]


def assert_same(sites: Sites, training: str, outcome: Outcome) -> None:
    """The sites' predictions and all models are those of the simulation, to the bit."""
    there = sites.predictions(training).sort_values(KEYS)
    here = outcome.predictions.sort_values(KEYS)
    assert there[KEYS].astype(str).to_numpy().tolist() == here[KEYS].astype(str).to_numpy().tolist()
    assert there["probability"].to_numpy().tobytes() == here["probability"].to_numpy().tobytes()
    arrays: dict[str, np.ndarray] = {}
    for country in COUNTRIES:
        for path in sites.kept(country, training, "models.*.safetensors"):
            arrays |= read_arrays(path)[0]
    wanted = {
        name: array
        for name, array in outcome.models.items()
        if name != "stamp" and "/covariance/" not in name  # which the server alone has
    }
    assert arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        assert arrays[name].tobytes() == array.tobytes(), name
