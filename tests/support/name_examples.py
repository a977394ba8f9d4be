"""Names that look like something else, tables that hold them, and runs in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from kedro.framework.hooks import hook_impl

from kedro_project import make_project

#: Each is somebody's site, patient, level or column. In two halves, of equal variety.
NAMES = [
    "7", "None", "True", "2020-01-01", "-", "$x_1$", "<b>bold</b>", "_underscore", "a.b", "{x}",
    "null", "it's", "Korea, Republic of", "x" * 100, "العربية", "&amp;", "inf", "seed=0",
    "007", "NA", "nan", "1e5", "#", "[red]", "A/B", "%d", "%(name)s", "=1+1", ".", "/",
    '"quoted"', "back\\slash", "中国", "😀", ":smile:", "country",
]  # fmt: skip
MANY, ONE = NAMES[:18], NAMES[18:]
#: Names of levels; the spellings of a missing value are none (docs/own-data.md).
LEVELS = [name for name in NAMES if name not in ("NA", "nan", "null", "N/A", ".")]

SMALL: dict[str, Any] = {
    "seeds": [0],
    "ray": {"num_workers": 0},
    "training": {
        "network": {
            "hidden_layers": 1, "width": 4, "extension_width": 2,
            "extension_tiers": [{"min_rows": 0, "layers": 1}],
        },
        "optimizer": {"batch_size": 64},
        "federation": {"rounds": 1},
        "centralized": {"epochs": 1},
        "local": {"epochs": 1},
        "fine_tuned": {"epochs": 1},
        "strategies": {
            name: {"epochs": 1}
            for name in ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad")
        },
    },
    "attribution": {"repeats": 2},
    "comparison": {"replicates": 100},
    "audit": {"replicates": 100},
}  # fmt: skip


def custom_table(many: list[str], one: list[str]) -> pd.DataFrame:
    """Ten patients at each of many sites and one at each of the others, all named by NAMES."""
    random = np.random.default_rng(0)
    sites = [name for name in many for _ in range(10)] + one
    patients = [NAMES[i % 10] for i in range(10 * len(many))] + [NAMES[0]] * len(one)
    label = random.integers(0, 2, len(sites))
    label[:10] = 1  # a site with one class
    table = pd.DataFrame({"site": sites, "who": patients, "label": label})
    table["$y_1$"] = [LEVELS[i % len(LEVELS)] for i in range(len(sites))]
    columns = {name: random.normal(size=len(sites)).round(3) for name in FEATURE_NAMES}
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


#: Columns of numbers, which are features; these words have a meaning of their own as columns.
FEATURE_NAMES = ["7", "NA", "None", "1e5", "$x_1$", "[red]", "_underscore", "a.b", "中国", "%d"]


def registry_tables(many: list[str], one: list[str]) -> dict[str, pd.DataFrame]:
    """Six patients in each of many countries and one in each of the others."""
    people = [(name, i) for name in many for i in range(6)] + [(name, 0) for name in one]
    ids = [*NAMES, *(f"P{i}" for i in range(len(people) - len(NAMES)))]
    patients = pd.DataFrame({"PATIENT_ID": ids, "country": [name for name, _ in people]})
    patients["clinic_code"] = [NAMES[i % len(NAMES)] for i in range(len(people))]
    random = np.random.default_rng(1)
    visits = []
    for patient in ids:
        worse = random.random() < 0.5
        for year in range(2000, 2008):
            for month in (1, 7):
                edss = 2.0 + (worse and year > 2003)
                visits.append((patient, f"{year}-0{month}-01", edss))
    treatments = [(ids[i], name, "2001-01-01", None) for i, name in enumerate(NAMES)]
    return {
        "patients": patients,
        "visits": pd.DataFrame(visits, columns=["PATIENT_ID", "DATE_OF_VISIT", "EDSS"]),
        "relapses": pd.DataFrame([(ids[1], "2002-05-01", "1e5")],
                                 columns=["PATIENT_ID", "DATE_OF_ONSET", "severity"]),
        "treatments": pd.DataFrame(
            treatments, columns=["PATIENT_ID", "dmt", "START_DATE", "END_DATE"]
        ),
    }  # fmt: skip


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write tables as CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


@dataclass
class Saved:
    """What a run saved, by dataset."""

    data: dict[str, Any] = field(default_factory=dict)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep a copy."""
        self.data[dataset_name] = data.copy() if isinstance(data, pd.DataFrame) else data


@dataclass
class InProcess:
    """A copy of the project whose pipelines run in this process."""

    folder: Path

    def set(self, **parameters: Any) -> None:
        """Write ``conf/local/parameters.yml``."""
        local = self.folder / "conf/local/parameters.yml"
        local.parent.mkdir(exist_ok=True)
        local.write_text(yaml.safe_dump(SMALL | parameters, allow_unicode=True), encoding="utf-8")

    def run(self, pipeline: str, **runtime: Any) -> Saved:
        """Run a pipeline; returns what it saved."""
        saved = Saved()
        with self._session(runtime) as session:
            session._hook_manager.register(saved)
            session.run(pipeline_names=[pipeline])
        return saved

    @contextmanager
    def catalog(self) -> Iterator[Any]:
        """The project's catalog, as a notebook has it."""
        with self._session({}) as session:
            yield session.load_context().catalog

    @contextmanager
    def _session(self, runtime: dict[str, Any]) -> Iterator[Any]:
        from kedro.framework.session import KedroSession
        from kedro.framework.startup import bootstrap_project

        bootstrap_project(self.folder)
        with KedroSession.create(project_path=self.folder, runtime_params=runtime) as session:
            yield session


def in_process(folder: Path) -> InProcess:
    """Copy the project into a folder."""
    return InProcess(make_project(folder).folder)
