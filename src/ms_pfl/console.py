"""What a run tells the person in front of it: progress, the results, and where things lie."""

from __future__ import annotations

import logging
import math
import os
import shlex
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import get_console

from ms_pfl.log_text import line as printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.progress import Progress, TaskID

    from ms_pfl.federation.history import ProgressReport

_BETWEEN_LINES = 60.0  # seconds
_VERDICT_LINES = 12  # of the console, above Table 1
_log = logging.getLogger(__name__)


def widen_pipes(columns: int = 110) -> None:
    """Give output that goes to a file or a pipe room for Table 1 in one piece.

    Without a terminal rich assumes 80 columns; the environment variable COLUMNS still decides.
    """
    if not get_console().is_terminal and "COLUMNS" not in os.environ:
        get_console().width = columns


class TrainingProgress:
    """One training on the console: a bar per seed where there is a terminal, plain lines elsewhere.

    Use as a context manager and call with each :class:`ProgressReport`. A training that takes less
    than a minute is one plain line at its end; a longer one has a line for each finished seed and,
    while a seed trains, one a minute.
    """

    def __init__(self, title: str) -> None:
        """Start a display called ``title`` (full words: "Fine-tuned FedAvg")."""
        self._title = printable(title)
        self._progress: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._started: dict[int, float] = {}
        self._last_line: dict[int, float] = {}
        self._began = 0.0
        self._held: list[tuple[ProgressReport, float]] = []

    def __enter__(self) -> TrainingProgress:
        """Show the bars, where there is a terminal to show them on."""
        self._began = time.monotonic()
        if get_console().is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[unit]} {task.completed}/{task.total}", markup=False),
                TextColumn("validation {task.fields[score]}", markup=False),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=get_console(),
                speed_estimate_period=3600,  # rounds may take minutes
            )
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the finished bars on the screen, or write what was held back."""
        if len(self._held) > 1:
            self._write_summary()
        else:
            self._write_held()
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, report: ProgressReport) -> None:
        """Show that a seed began, that a round (or epoch) is done, or that the seed is."""
        score = _score(report.validation_roc_auc)
        if self._progress is not None:
            self._show_bar(self._progress, report, score)
        else:
            self._write_line(report, score)

    def _write_line(self, report: ProgressReport, score: str) -> None:
        now = time.monotonic()
        started = self._started.setdefault(report.seed, now)
        if report.note:
            _log.info("%s, seed %d: %s", self._title, report.seed, report.note)
        elif report.finished:
            self._held.append((report, now - started))
            if now - self._began >= _BETWEEN_LINES:
                self._write_held()
        elif report.round and now - self._last_line.get(report.seed, started) >= _BETWEEN_LINES:
            self._last_line[report.seed] = now
            left = (now - started) * (report.rounds / report.round - 1)
            _log.info(
                "%s, seed %d: %s %d of %d, validation %s, %.0f s, at most about %.0f s left",
                self._title, report.seed, report.unit, report.round, report.rounds, score,
                now - started, left,
            )  # fmt: skip

    def _write_held(self) -> None:
        for report, seconds in self._held:
            _log.info(
                "%s, seed %d: validation %s, %s %d of %d, %.0f s",
                self._title, report.seed, _score(report.validation_roc_auc), report.unit,
                report.round, report.rounds, seconds,
            )  # fmt: skip
        self._held.clear()

    def _write_summary(self) -> None:
        reports = [report for report, _ in self._held]
        values = [r.validation_roc_auc for r in reports if not math.isnan(r.validation_roc_auc)]
        _log.info(
            "%s: validation %s, %s %s of %d, %d seeds, %.0f s",
            self._title, _span("ROC-AUC", values, ".3f"), reports[0].unit,
            _span("", [report.round for report in reports], "d"), reports[0].rounds,
            len(reports), time.monotonic() - self._began,
        )  # fmt: skip

    def _show_bar(self, progress: Progress, report: ProgressReport, score: str) -> None:
        if report.seed not in self._tasks:
            self._tasks[report.seed] = progress.add_task(
                f"{self._title}, seed {report.seed}",
                total=report.rounds,
                score=score,
                unit=report.unit,
            )
        task = self._tasks[report.seed]
        # early stopping ends a fit before its last round
        last = max(report.round, 1) if report.finished else None
        progress.update(task, total=last, completed=last or report.round, score=score)


def _score(roc_auc: float) -> str:
    return "ROC-AUC –" if math.isnan(roc_auc) else f"ROC-AUC {roc_auc:.3f}"


def _span(name: str, values: Sequence[float], form: str) -> str:
    """Return the lowest and the highest of some values, once if they read the same.

    >>> _span("ROC-AUC", [0.7, 0.65], ".2f"), _span("", [8, 8], "d")
    ('ROC-AUC 0.65 to 0.70', '8')
    """
    ends = dict.fromkeys(format(end, form) for end in (min(values), max(values))) if values else "–"
    return f"{name} {' to '.join(ends)}".strip()


def _print(line: str, *, style: str = "", soft_wrap: bool = False) -> None:
    """Print a line as it is: a name in it may look like rich's markup, or like an emoji's code."""
    from rich.text import Text

    get_console().print(Text(printable(line), style=style), soft_wrap=soft_wrap)


def show_results(table1: pd.DataFrame, notes: list[str], headline: list[str]) -> None:
    """Print what the comparison found in a few sentences, then Table 1 and what it rests on."""
    from ms_pfl.reporting.headline import FIRST_LINES
    from ms_pfl.reporting.table1 import ConsoleTable

    _print("")
    left = _VERDICT_LINES
    for line in headline[:FIRST_LINES]:
        left -= len(textwrap.wrap(printable(line), get_console().width))
        if left < 0:  # the report has all
            break
        _print(line, style="bold")
    get_console().print(ConsoleTable(table1, notes), highlight=False)


def _print_table(title: str, rows: Sequence[Mapping[Any, str]], text: Sequence[str]) -> None:
    """Print a table; its columns are of numbers, on the right, but for those of ``text``."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    for name in rows[0]:
        table.add_column(Text(printable(name)), justify="left" if name in text else "right")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row.values()))
    get_console().print(table)


def show_audit(table: pd.DataFrame, project: Path) -> None:
    """Print what each published choice is worth, and where table and figure are."""
    _print_table(
        "Protocol audit: ROC-AUC, and what each published choice adds to it",
        table.to_dict(orient="records"),
        text=list(table.columns),
    )
    _print(f"Audit     {project / 'data/08_reporting/audit.md'}, audit.png", soft_wrap=True)


def show_predictions(notes: list[str], project: Path) -> None:
    """Print what was predicted for new patients, and where the table is."""
    for line in notes:
        _print(line)
    _print(f"Risks     {project / 'data/07_model_output/new_patients.csv'}", soft_wrap=True)


def show_attrition(attrition: pd.DataFrame) -> None:
    """Print how many patients and episodes each stage of the cohort kept."""
    rows = [
        {
            "Stage": str(row.reason),
            "Patients": f"{row.patients:,}",
            "Episodes": f"{row.episodes:,}",
            "Episodes dropped": f"{row.episodes_dropped:,}",
        }
        for row in attrition.itertuples()
    ]
    _print_table("Attrition: from people in the registry to labelled episodes", rows, ["Stage"])


def show_prevalence(prevalence: pd.DataFrame) -> None:
    """Print how often each outcome is seen under each rule; the chosen pair comes first."""
    rows = [
        {
            "Outcome": str(row["outcome"]).replace("_", " "),
            "Rule": str(row["rule"]).replace("_", " "),
            "Episodes": f"{row['episodes']:,}",
            "Worsened": f"{row['worsened']:,}",
            "Prevalence": _percent(row["prevalence"]),
            "Agreement": _percent(row["agreement"]),
            "Kappa": "–" if math.isnan(row["kappa"]) else f"{row['kappa']:.2f}",
            "PIRA": _percent(row["share_pira"]),
        }
        for row in prevalence.to_dict(orient="records")
    ]
    _print_table(
        "Prevalence of confirmed worsening by outcome and rule (the first is used)",
        rows,
        ["Outcome", "Rule"],
    )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def show_places(project: Path, experiment: str | None, *, report: bool) -> None:
    """Print where the report and the MLflow store are, and how to open them.

    Args:
        project: the project's folder.
        experiment: name of the MLflow experiment; None where the run logged nothing.
        report: whether the run wrote the report.
    """
    from ms_pfl.tracking.store import runs_page, tracking_uri

    if report:
        page = project / "data/08_reporting/report.html"
        _print(f"Report    {page} (open in a browser)", soft_wrap=True)
    if experiment is not None:
        uri = tracking_uri(project)
        if not uri.startswith("http"):
            _print(f"MLflow    mlflow ui --backend-store-uri {shlex.quote(uri)}", soft_wrap=True)
        _print(f"          then open {runs_page(project, experiment)}", soft_wrap=True)
    _print("Pipeline  kedro viz run", soft_wrap=True)


def show_lost_record(reason: str, command: str) -> None:
    """Print that the run is not recorded in MLflow, why, and the command that records it later."""
    _print(
        f"MLflow    this run is not recorded ({reason}); record it later with: {command}",
        soft_wrap=True,
    )
