"""The ServerApp of a federation of real sites: the paradigms' own programs over Flower's grid."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.apps import log_to_stdout
from ms_pfl.apps.agreement import (
    INTRODUCE,
    CohortAgreement,
    Introduction,
    RefusalError,
    Software,
)
from ms_pfl.apps.settings import ServerSettings, read_parameters, read_settings
from ms_pfl.cohort.features import FEATURES
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import (
    Checkpoints,
    DamagedFileError,
    read_arrays,
    write_arrays,
)
from ms_pfl.federation.engine import ConfigRecord, Context, Grid, Message, RecordDict, ServerApp
from ms_pfl.federation.exchange import ask
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.records import to_record
from ms_pfl.federation.rounds import federated_scaler, prepare
from ms_pfl.federation.scaler import Scaler
from ms_pfl.federation.site_grid import Patience, SiteGrid
from ms_pfl.learning.parameters import ModelKind, TrainingParameters
from ms_pfl.names import listed, near_names
from ms_pfl.paradigms import fine_tuned, local
from ms_pfl.paradigms.alone import FitPlan, history_alone
from ms_pfl.paradigms.federated import federate
from ms_pfl.paradigms.outcome import ProgressReport
from ms_pfl.paradigms.task import Start
from ms_pfl.parameters import Parameters

PARADIGMS = ("adaptive", "fine_tuned", "federated", "local")
METRICS = ("n_episodes", "n_positive", "roc_auc", "log_loss", "brier")
_POLL = 1.0
_log = logging.getLogger(__name__)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the paradigm that `--run-config` names with the sites that it names."""
    log_to_stdout()
    settings: ServerSettings = read_settings(ServerSettings, context.run_config, "--run-config")
    run(grid, settings)


def run(grid: Grid, settings: ServerSettings) -> Path:
    """Gather the sites, train over all seeds, and write what the server has learned.

    Returns:
        The folder with ``models.safetensors`` (shared arrays and scalers), ``history.csv``,
        ``metrics.csv`` and ``run.json``.

    Raises:
        InputError: a setting cannot be used, or a site is refused or stays away.
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
    sites = gather(grid, settings, agreement)
    federation = _Federation(grid, settings, parameters, sites)
    for seed in parameters.seeds:
        federation.train(seed)
    return federation.finish(agreement)


@dataclass(frozen=True)
class Site:
    """A site that takes part: its node in Flower, and what it told of itself."""

    node_id: int
    introduction: Introduction


def gather(grid: Grid, settings: ServerSettings, agreement: CohortAgreement) -> dict[str, Site]:
    """Wait for the sites that are named, and see that they can take part; sorted by name.

    Raises:
        RefusalError: a site is not compatible, or two call themselves by one name.
        InputError: a site has not come in time.
    """
    question = RecordDict(
        {
            "config": ConfigRecord(
                {"software": Software.here().to_json(), "agreement": agreement.model_dump_json()}
            )
        }
    )
    expected = settings.countries
    _log.info("Waiting for the sites %s", listed(expected))
    sites: dict[str, Site] = {}
    asked: dict[str, int] = {}
    seen: set[int] = set()
    others: list[str] = []
    until = time.monotonic() + settings.wait_for_sites
    while len(sites) < len(expected):
        new = [node for node in grid.get_node_ids() if node not in seen]
        messages = [
            Message(
                content=question,
                message_type=INTRODUCE,
                dst_node_id=node,
                ttl=settings.answer_within,
            )
            for node in new
        ]
        if messages:
            asked |= dict(zip(grid.push_messages(messages), new, strict=True))
            seen |= set(new)
        for reply in grid.pull_messages(list(asked)) if asked else ():
            node = asked.pop(reply.metadata.reply_to_message_id)
            if reply.has_error():
                raise RefusalError(f"a site does not take part: {_reason(reply)}")
            told = Introduction.from_config(reply.content["config"])
            if told.country not in expected:
                alike = near_names(told.country, expected)
                _log.warning(
                    "%r is connected, but not among the sites of this run; it is not asked again%s",
                    told.country,
                    f"; the run waits for {alike[0]!r}: name both in one way, in the run's sites "
                    "or in the site's country" if alike else "",
                )  # fmt: skip
                others.append(told.country)
                continue
            if told.country in sites:
                raise RefusalError(f"two sites call themselves {told.country}; each needs its name")
            told.check(FEATURES)
            sites[told.country] = Site(node, told)
            _log.info(
                "%s takes part: %d patients to train on, %d to validate, %d to test",
                told.country,
                *told.patients,
            )
        if time.monotonic() > until and len(sites) < len(expected):
            absent = [name for name in expected if name not in sites]
            near = [(name, alike) for name in absent for alike in near_names(name, others)]
            hint = "".join(
                f"; {alike!r} is connected and the run waits for {name!r}: name both in one way"
                for name, alike in near
            )
            raise InputError(
                f"{listed(absent)} did not come within {settings.wait_for_sites:.0f} seconds: is "
                "the SuperNode there running, is its key registered, and its country spelled so?"
                f"{hint}"
            )
        time.sleep(_POLL)
    return dict(sorted(sites.items()))


def _reason(reply: Message) -> str:
    reason = str(reply.error.reason)
    # Flower tells an exception as <class '...'>:<'message'>
    return reason.partition(">:<")[2].strip("'>\"") or reason


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
        output = settings.output or str(
            Path(settings.project).expanduser() / "data" / "06_models" / "federation"
        )
        self._output = Path(output).expanduser().resolve()
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
