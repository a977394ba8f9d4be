"""The ServerApp of a federation of real sites: the paradigms' own programs over Flower's grid."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment import log_to_stdout
from ms_pfl.deployment.agreement import CohortAgreement, Software
from ms_pfl.deployment.gathering import Site, gather
from ms_pfl.deployment.settings import ServerSettings, read_parameters, read_settings
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import (
    Checkpoints,
    DamagedFileError,
    read_arrays,
    write_arrays,
)
from ms_pfl.federation.exchange import ClientError, ask
from ms_pfl.federation.flower import ConfigRecord, Context, Grid, RecordDict, ServerApp
from ms_pfl.federation.grids.sites import Patience, SiteGrid
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.records import to_record
from ms_pfl.federation.rounds import federated_scaler, prepare
from ms_pfl.federation.scaler import Scaler
from ms_pfl.folder_lock import hold
from ms_pfl.learning.parameters import ModelKind, TrainingParameters
from ms_pfl.parameters import Parameters
from ms_pfl.training.outcome import ProgressReport
from ms_pfl.training.programs import fine_tuned, local
from ms_pfl.training.programs.alone import FitPlan, history_alone
from ms_pfl.training.programs.federated import federate
from ms_pfl.training.task import Start

PARADIGMS = ("adaptive", "fine_tuned", "federated", "local")
METRICS = ("n_episodes", "n_positive", "roc_auc", "log_loss", "brier")
_log = logging.getLogger(__name__)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the paradigm that `--run-config` names with the sites that it names."""
    log_to_stdout()
    try:
        run(grid, read_settings(ServerSettings, context.run_config, "--run-config"))
    except (InputError, ClientError) as error:
        # Flower logs a traceback besides: as short as can be
        _log.error("The run has ended: %s", error)
        raise error.with_traceback(None) from None


def run(grid: Grid, settings: ServerSettings) -> Path:
    """Gather the sites, train over all seeds, and write what the server has learned.

    Returns:
        The folder with ``models.safetensors`` (shared arrays and scalers), ``history.csv``,
        ``metrics.csv`` and ``run.json``.

    Raises:
        InputError: a setting cannot be used, another run writes into the same folder, that cannot
            be written, or a site is refused or stays away.
    """
    if settings.paradigm not in PARADIGMS:
        raise InputError(
            f"the paradigm {settings.paradigm!r} does not run between sites; there are: "
            f"{', '.join(PARADIGMS)}"
        )
    parameters = read_parameters(settings.project, settings.env)
    if settings.paradigm != "local":
        parameters.strategies.of(settings.strategy)
    agreement = CohortAgreement(
        cohort=parameters.cohort,
        splits=parameters.splits,
        seeds=parameters.seeds,
        protocol=parameters.protocol,
    )
    output = settings.output_folder
    lock = hold(output, "flwr run", "name another folder by output=... in --run-config")
    try:
        sites = gather(grid, settings, agreement)
        federation = _Federation(grid, settings, parameters, sites)
        for seed in parameters.seeds:
            federation.train(seed)
        return federation.finish(agreement)
    except OSError as error:
        if error.errno is None or isinstance(error, (ConnectionError, TimeoutError)):
            raise
        raise InputError(
            f"{output} cannot be written at the server ({os.strerror(error.errno)}): free space on "
            "that disk or correct the permissions there, and give the same flwr run again; it "
            "resumes after the last whole round"
        ) from error
    finally:
        lock.release()


@dataclass(frozen=True)
class _SeedResult:
    """What the server has of a seed that is done."""

    models: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    metrics: list[dict[str, Any]]


class _Federation:
    """The training of all seeds over the sites, and what it leaves at the server."""

    def __init__(
        self,
        grid: Grid,
        settings: ServerSettings,
        parameters: Parameters,
        sites: Mapping[str, Site],
    ) -> None:
        self._grid, self._settings, self._parameters = grid, settings, parameters
        self._sites = sites
        self._patience = Patience(settings.wait_for_sites, settings.answer_within)
        strategy = "none" if settings.paradigm == "local" else settings.strategy
        self._strategy = strategy
        self._name = f"{settings.paradigm}.{strategy}"
        self._output = settings.output_folder
        self._unfinished = self._output / "unfinished" / f"{self._name}.{self._key()}"
        if settings.anew:
            shutil.rmtree(self._unfinished, ignore_errors=True)
        self._results: dict[int, _SeedResult] = {}

    def _key(self) -> str:
        """A digest of all that decides the result, so that nothing stale is gone on from."""
        told = {
            "parameters": self._parameters.model_dump(mode="json"),
            "software": Software.here().to_json(),
            "sites": {name: site.introduction.data for name, site in self._sites.items()},
        }
        text = json.dumps(told, sort_keys=True).encode()
        return hashlib.blake2b(text, digest_size=8).hexdigest()

    def train(self, seed: int) -> None:
        """Train one seed, unless a run that was cut off has done so."""
        path = self._unfinished / f"seed={seed}.finished.safetensors"
        if path.exists():
            try:
                models, told = read_arrays(path)
                self._results[seed] = _SeedResult(models, told["history"], told["metrics"])
                _log.info("Seed %d is taken over from a run that was cut off", seed)
                return
            except DamagedFileError as error:
                _log.warning("A finished seed is damaged and trained again. %s", error)
        nodes = {name: site.node_id for name, site in self._sites.items()}
        grid = SiteGrid(self._grid, nodes, seed, self._patience)
        match self._settings.paradigm:
            case "local":
                result = self._alone(grid, seed, Start({}, federated_scaler(grid, seed)))
            case "fine_tuned":
                result = self._alone(grid, seed, self._rounds(grid, seed, "mlp")[0])
            case "federated":
                result = self._rounds(grid, seed, "mlp")[1]
            case _:
                result = self._rounds(grid, seed, "adaptive")[1]
        self._results[seed] = result
        write_arrays(path, result.models, {"history": result.history, "metrics": result.metrics})
        self._checkpoints(seed).remove()

    def _checkpoints(self, seed: int) -> Checkpoints:
        # of every round: a site keeps its personal arrays of two rounds, and of the best one
        return Checkpoints(self._unfinished, f"seed={seed}", 1)

    def _client(
        self, kind: ModelKind, training: TrainingParameters | None = None
    ) -> ClientSettings:
        own = self._parameters
        return ClientSettings(
            kind=kind,
            model=own.model,
            training=training or own.training,
            protocol=own.protocol,
            device=own.device,
        )

    def _rounds(self, grid: SiteGrid, seed: int, kind: ModelKind) -> tuple[Start, _SeedResult]:
        with self._checkpoints(seed) as checkpoints:
            done, scaler = federate(
                grid,
                seed,
                self._client(kind),
                self._parameters.strategies.of(self._strategy),
                self._parameters.federated,
                len(FEATURES),
                checkpoints,
                _report,
            )
            paradigm = "adaptive" if kind == "adaptive" else "federated"
            arrays = to_record(done.arrays)
            metrics = self._keep(
                grid, seed, paradigm, RecordDict({"arrays": arrays}), done.best_round
            )
        result = self._result(seed, done.arrays, scaler, done.history, metrics)
        return Start(done.arrays, scaler), result

    def _alone(self, grid: SiteGrid, seed: int, start: Start) -> _SeedResult:
        plan: FitPlan
        if self._settings.paradigm == "local":
            plan, training = local.plan_of(self._parameters), None
        else:
            plan, training = (
                fine_tuned.plan_of(self._parameters),
                fine_tuned.training_of(self._parameters),
            )
        prepare(grid, seed, self._client("mlp", training), start.scaler)
        contents = plan.contents({seed: start}, grid)
        replies = ask(grid, "train.personalize", contents)
        history = history_alone(grid, seed, replies, contents)
        metrics = self._keep(grid, seed, self._settings.paradigm, RecordDict(), 0)
        return self._result(seed, start.arrays, start.scaler, history, metrics)

    def _keep(
        self, grid: SiteGrid, seed: int, paradigm: str, content: RecordDict, best_round: int
    ) -> list[dict[str, Any]]:
        """Have the sites keep their models and predictions; what comes back are metrics."""
        config = {"best-round": best_round, "keep-as": f"{paradigm}.{self._strategy}"}
        content["config"] = ConfigRecord(config)
        answers = ask(grid, "query.predict", dict.fromkeys(grid.node_ids(seed), content))
        return [
            {
                "paradigm": paradigm,
                "strategy": self._strategy,
                "seed": seed,
                "country": grid.nodes[node].country,
                "split": split,
                **{name: answer["metrics"][f"{split}/{name}"] for name in METRICS},
            }
            for node, answer in answers.items()
            for split in ("validation", "test")
        ]

    def _result(
        self,
        seed: int,
        shared: Mapping[str, np.ndarray],
        scaler: Scaler,
        history: Iterable[HistoryRow],
        metrics: list[dict[str, Any]],
    ) -> _SeedResult:
        prefix = f"seed={seed}"
        models = {f"{prefix}/shared/{name}": array for name, array in shared.items()}
        models |= {f"{prefix}/scaler/mean": scaler.mean, f"{prefix}/scaler/sd": scaler.sd}
        for row in metrics:
            if row["split"] == "test":
                _log.info(
                    "%s, seed %d, %s: ROC-AUC %.3f, log-loss %.4f, Brier score %.4f, %d episodes",
                    row["paradigm"], seed, row["country"], row["roc_auc"], row["log_loss"],
                    row["brier"], row["n_episodes"],
                )  # fmt: skip
        return _SeedResult(models, [asdict(row) for row in history], metrics)

    def finish(self, agreement: CohortAgreement) -> Path:
        """Write what the server has learned, and remove what was kept to go on from."""
        folder = self._output / self._name
        part = self._output / f".{self._name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        results = [self._results[seed] for seed in sorted(self._results)]
        models = {name: a for result in results for name, a in result.models.items()}
        write_arrays(part / "models.safetensors", models, {"features": list(FEATURES)})
        for name, rows in (
            ("history", [row for result in results for row in result.history]),
            ("metrics", [row for result in results for row in result.metrics]),
        ):
            pd.DataFrame(rows).to_csv(part / f"{name}.csv", index=False)
        told = {
            "settings": asdict(replace(self._settings, project="", output="")),
            "software": asdict(Software.here()),
            "agreement": agreement.model_dump(mode="json"),
            "sites": {name: asdict(site.introduction) for name, site in self._sites.items()},
        }
        (part / "run.json").write_text(json.dumps(told, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        _log.info("What the server has learned is in %s", folder)
        return folder


def _report(report: ProgressReport) -> None:
    done = "finished" if report.finished else "round"
    auc = report.validation_roc_auc
    _log.info(
        "seed %d: %s %d of at most %d%s%s",
        report.seed, done, report.round, report.rounds,
        "" if np.isnan(auc) else f", validation ROC-AUC {auc:.3f}",
        f" ({report.note})" if report.note else "",
    )  # fmt: skip
