"""The ServerApp of a federation of real sites: the one training program over Flower's grid."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment import log_to_stdout
from ms_pfl.deployment.agreement import RunAgreement, Software
from ms_pfl.deployment.gathering import Site, gather
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.settings import ServerSettings, read_parameters, read_settings
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import write_arrays
from ms_pfl.federation.exchange import ClientError, ask_and_read
from ms_pfl.federation.flower import ConfigRecord, Context, Grid, RecordDict, ServerApp
from ms_pfl.federation.grids.sites import Patience, SiteGrid
from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.replies import METRICS, log_digest
from ms_pfl.files import whole_folder
from ms_pfl.folder_lock import hold
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.parameters import Parameters
from ms_pfl.spreadsheets import write_csv
from ms_pfl.training.bundle import bundle_arrays
from ms_pfl.training.resume import UnfinishedTrainings
from ms_pfl.training.train import SeedResult, Sites, check_training, train

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
        The folder with ``models.safetensors`` (shared arrays and inputs), ``history.csv``,
        ``metrics.csv`` and ``run.json``.

    Raises:
        InputError: a setting cannot be used, another run writes into the same folder, that cannot
            be written, or a site is refused or stays away.
    """
    training = training_between_sites(settings.paradigm, settings.strategy)
    parameters = read_parameters(settings.project, settings.env)
    agreement = RunAgreement.of(training, parameters, settings.countries, settings.sums)
    output = settings.output_folder
    lock = hold(output, "flwr run", "name another folder by output=... in --run-config")
    try:
        sites = gather(grid, settings, agreement)
        return _train(grid, training, settings, parameters, agreement, sites)
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


def training_between_sites(paradigm: str, strategy: str) -> Training:
    """Return a training that real sites can do together.

    Args:
        paradigm: its name.
        strategy: its name; heeded where the paradigm has more than one.

    Raises:
        InputError: there is none.
    """
    known = [row for row in PARADIGMS.values() if row.between_sites and row.program is not None]
    if paradigm not in {row.name for row in known}:
        raise InputError(
            f"the paradigm {paradigm!r} does not run between sites; there are: "
            f"{', '.join(sorted(row.name for row in known))}"
        )
    row = PARADIGMS[paradigm]
    training = Training(paradigm, strategy)
    if row.role == "local" and strategy not in row.strategies:  # it has no server's rule
        training = Training(paradigm, row.strategies[0])
    check_training(training)
    return training


def _train(
    grid: Grid,
    training: Training,
    settings: ServerSettings,
    parameters: Parameters,
    agreement: RunAgreement,
    sites: Mapping[str, Site],
) -> Path:
    """Train all seeds over the sites, and write what the server has learned."""
    output = settings.output_folder
    unfinished = UnfinishedTrainings(output / "unfinished")
    # a checkpoint of every round: a site keeps its private state of two rounds, and of the best one
    store = unfinished.training(
        training.name, _key(parameters, sites, settings.sums), every_rounds=1
    )
    if settings.anew:
        store.remove()
    patience = Patience(settings.wait_for_sites, settings.answer_within)
    nodes = {name: site.node_id for name, site in sites.items()}

    def open_grid(seed: int) -> SiteGrid:
        place = parameters.seeds.index(seed)
        rows = {name: site.introduction.rows_of(place) for name, site in sites.items()}
        return SiteGrid(grid, nodes, seed, patience, len(FEATURES), rows, secure=agreement.masked)

    results = []
    for result in train(
        training,
        Sites(tuple(sites), FEATURES),
        parameters.training,
        parameters.seeds,
        device=parameters.device,
        open_grid=lambda _, seeds: open_grid(seeds[0]),
        store=store,
        report=_report,
    ):
        _tell(training, result)
        results.append(result)
    results.sort(key=lambda result: result.seed)
    told = {
        "settings": asdict(replace(settings, project="", output="", keys="")),
        "software": asdict(Software.here()),
        "agreement": agreement.model_dump(mode="json"),
        "sites": {name: site.introduction.model_dump() for name, site in sites.items()},
    }
    folder = output / training.name
    _write(folder, training, results, told)
    unfinished.finish()
    _log.info("What the server has learned is in %s", folder)
    _end(open_grid(parameters.seeds[0]), SecurityLog(output))
    return folder


def _end(grid: SiteGrid, log: SecurityLog) -> None:
    """Tell the sites the last digest of the server's security log, and keep theirs.

    Whatever a site answers here changes nothing of the run, which has ended.
    """
    digest = log.note("ended", sites=[node.country for node in grid.nodes.values()])
    _log.info("The security log of the server ends with %s", digest)
    content = RecordDict({"config": ConfigRecord({"log": digest})})
    try:
        told = ask_and_read(
            grid,
            "query.end",
            dict.fromkeys(grid.nodes, content),
            lambda _, reply: log_digest(reply),
        )
    except (ClientError, InputError) as error:
        log.note("refused", reason=str(error))
        _log.warning("The sites' logs have told no last digest: %s", error)
        return
    for number, kept in told.items():
        country = grid.nodes[number].country
        log.note("told", site=country, digest=kept)
        _log.info("The security log of %s ends with %s", country, kept)


def _key(parameters: Parameters, sites: Mapping[str, Site], sums: str) -> str:
    """Return a digest of all that decides the result, so that nothing stale is gone on from."""
    told = {
        "parameters": parameters.model_dump(mode="json"),
        "software": Software.here().to_json(),
        "sites": {name: site.introduction.data for name, site in sites.items()},
        "sums": sums,
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()


def _metrics(training: Training, result: SeedResult) -> list[dict[str, Any]]:
    """Return what the sites told of their predictions, a row per site and split.

    Where sums are masked, one for all sites together ("pooled").
    """
    return [
        {
            "paradigm": training.paradigm,
            "strategy": training.strategy,
            "seed": result.seed,
            "country": country,
            "split": split,
            **{name: told[f"{split}/{name}"] for name in METRICS},
        }
        for country, told in result.metrics.items()
        for split in ("validation", "test")
    ]


def _tell(training: Training, result: SeedResult) -> None:
    """Say what is known of the test rows: of a site that masks its sums, their number alone."""
    for row in _metrics(training, result):
        if row["split"] == "test":
            _log.info(
                "%s, seed %d, %s: %s", row["paradigm"], row["seed"], row["country"], _scores(row)
            )


def _scores(row: Mapping[str, Any]) -> str:
    """Return the scores of a row of metrics in words, without those that are missing.

    >>> _scores({"roc_auc": float("nan"), "log_loss": 0.5, "brier": 0.25, "n_episodes": 7})
    'log-loss 0.5000, Brier score 0.2500, 7 episodes'
    """
    named = (("ROC-AUC", "roc_auc", 3), ("log-loss", "log_loss", 4), ("Brier score", "brier", 4))
    told = [f"{name} {row[key]:.{n}f}" for name, key, n in named if not np.isnan(row[key])]
    return ", ".join([*told, f"{row['n_episodes']} episodes"])


def _write(
    folder: Path, training: Training, results: list[SeedResult], told: dict[str, Any]
) -> None:
    """Write models, history, metrics and ``run.json``: all of them or none."""
    models = bundle_arrays(results, None)
    with whole_folder(folder) as part:
        write_arrays(part / "models.safetensors", models, {"features": list(FEATURES)})
        for name, rows in (
            ("history", [asdict(row) for result in results for row in result.history]),
            ("metrics", [row for result in results for row in _metrics(training, result)]),
        ):
            write_csv(pd.DataFrame(rows), part / f"{name}.csv")
        (part / "run.json").write_text(json.dumps(told, indent=2) + "\n")


def _report(report: ProgressReport) -> None:
    done = "finished" if report.finished else "round"
    auc = report.validation_roc_auc
    _log.info(
        "seed %d: %s %d of at most %d%s%s",
        report.seed, done, report.round, report.rounds,
        "" if np.isnan(auc) else f", validation ROC-AUC {auc:.3f}",
        f" ({report.note})" if report.note else "",
    )  # fmt: skip
