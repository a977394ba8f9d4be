"""What a person sees while a training runs: reports, bars and plain lines."""

from __future__ import annotations

import io
import logging
import math
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from federation_examples import SIZES, data_of, nodes_of
from ms_pfl import console
from ms_pfl.console import TrainingProgress
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.history import FitProgress, ProgressReport
from ms_pfl.paradigms import Training
from ms_pfl.training.programs.alone import _Watch
from ms_pfl.training.train import Sites, Task
from paradigm_examples import Study, parameters

NAN = math.nan


def reports_of(paradigm: str, strategy: str, study: Study) -> list[ProgressReport]:
    study.outcome(paradigm, strategy)
    return study.reports


@pytest.mark.parametrize("paradigm", ["local", "fine_tuned"])
def test_seeds_are_trained_and_reported_one_after_another(paradigm: str) -> None:
    study = Study()
    reports = reports_of(paradigm, "none" if paradigm == "local" else "fedavg", study)
    assert [report.seed for report in reports] == sorted(report.seed for report in reports)
    for seed in (0, 1):
        own = [report for report in reports if report.seed == seed]
        assert {report.unit for report in own} == {"epoch"}
        assert [report.finished for report in own] == [False] * (len(own) - 1) + [True]
        numbers = [report.round for report in own[:-1]]
        assert numbers[0] == 0
        assert numbers == sorted(numbers)
        assert len(set(numbers)) > 2, "it moves while the countries train"
        rows = study.outcome(paradigm, "none" if paradigm == "local" else "fedavg").history
        rows = rows[rows["seed"] == seed]
        assert own[-1].round == rows["round"].max()
        chosen = rows[rows["selected"] & rows["validation_roc_auc"].notna()]
        expected = np.average(chosen["validation_roc_auc"], weights=chosen["n_validation"])
        assert own[-1].validation_roc_auc == pytest.approx(expected, rel=1e-12)


def test_the_centralized_training_reports_each_epoch_with_its_score() -> None:
    study = Study()
    reports = reports_of("centralized", "pooled", study)
    history = study.outcome("centralized", "pooled").history
    for seed in (0, 1):
        own = [report for report in reports if report.seed == seed]
        rows = history[history["seed"] == seed]
        assert [report.round for report in own] == [0, *rows["round"], rows["round"].max()]
        assert {report.rounds for report in own} == {8}
        np.testing.assert_allclose(
            [report.validation_roc_auc for report in own],
            [NAN, *rows["validation_roc_auc"], *rows.loc[rows["selected"], "validation_roc_auc"]],
            rtol=1e-12,
        )


def test_the_epoch_of_a_seed_is_the_mean_over_rows() -> None:
    """Training rows AU 18, BE 36, CZ 9 of 63; a country that stopped early counts as done."""
    data, reports = data_of(seeds=(0,)), []
    assert [data.training_rows(country, 0) for country in SIZES] == [18, 36, 9]

    def nothing(*_: object) -> None:
        """Nobody asks the clients or keeps a checkpoint."""

    task = Task(
        Training("local", "none"),
        Sites(tuple(data.countries), data.features, data.training_rows),
        parameters(),
        "cpu",
        nothing,
        reports.append,
        (0,),
        nothing,
    )
    with LocalGrid(data, nodes_of(data)) as grid:
        watch = _Watch(task, grid, [0], 7)
        watch({})
        watch({2: FitProgress(0, 7, NAN, 12)})
        watch({2: FitProgress(5, 7, 0.75, 12), 1: FitProgress(3, 7, 0.5, 6)})
        watch({2: FitProgress(5, 7, 0.75, 12, finished=True), 1: FitProgress(1, 7, NAN, 6)})
        done = {i: FitProgress(i + 3, 7, auc, n, True) for i, auc, n in
                ((1, 0.5, 6), (2, 0.75, 12), (3, NAN, 3))}  # fmt: skip
        watch(done)
        watch(done)
        watch.finish(0, 6, 0.9)
    told = [(r.round, r.rounds, r.validation_roc_auc, r.finished) for r in reports]
    # 36 x 5/7 + 18 x 3/7 = 33.4 of 63 rows: 3.7 of 7 epochs; 36 + 18 x 1/7 = 38.6: 4.3
    both = (12 * 0.75 + 6 * 0.5) / 18
    expected = [(0, 7, NAN, False), (4, 7, both, False), (4, 7, 0.75, False), (6, 7, both, True)]
    np.testing.assert_allclose(told, expected)


def plain(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """What the console prints, as on a terminal of 120 columns or in a file."""
    page = io.StringIO()
    shown = Console(file=page, force_terminal=terminal, width=120, color_system=None)
    monkeypatch.setattr(console, "get_console", lambda: shown)
    return page


def test_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clock by hand: a line a minute while a seed trains, and one when it is finished.

    What takes less than a minute in all is one line.
    """
    page, now = plain(monkeypatch, terminal=False), [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, logger="ms_pfl.console")
    with TrainingProgress("Local") as progress:
        for seconds, report in (
            (0, ProgressReport(0, 0, 40, NAN, False, "epoch")),
            (30, ProgressReport(0, 5, 40, 0.6, False, "epoch")),
            (70, ProgressReport(0, 10, 40, 0.7123, False, "epoch")),
            (90, ProgressReport(0, 12, 40, 0.7, False, "epoch")),
            (95, ProgressReport(0, 12, 40, 0.71, True, "epoch")),
            (200, ProgressReport(1, 0, 40, NAN, False, "epoch")),
            (210, ProgressReport(1, 9, 40, NAN, True, "epoch")),
        ):
            now[0] = 100.0 + seconds
            progress(report)
    assert caplog.messages == [
        "Local, seed 0: epoch 10 of 40, validation ROC-AUC 0.712, 70 s, at most about 210 s left",
        "Local, seed 0: validation ROC-AUC 0.710, epoch 12 of 40, 95 s",
        "Local, seed 1: validation ROC-AUC –, epoch 9 of 40, 10 s",
    ]
    assert page.getvalue() == ""
    caplog.clear()
    with TrainingProgress("Federated FedAvg") as progress:
        for seed, auc in ((0, 0.71), (1, NAN), (2, 0.7)):
            progress(ProgressReport(seed, 0, 30, NAN, False))
            now[0] += 5
            progress(ProgressReport(seed, 12 + seed, 30, auc, True))
    assert caplog.messages == [
        "Federated FedAvg: validation ROC-AUC 0.700 to 0.710, round 12 to 14 of 30, 3 seeds, 15 s"
    ]


def test_bars_where_there_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar per seed; one that stops early is full, with the time that it took."""
    page = plain(monkeypatch, terminal=True)
    with TrainingProgress("Federated FedAvg") as progress:
        for number in (0, 1, 2):
            progress(ProgressReport(0, number, 30, NAN if number == 0 else 0.7, False))
        assert progress._progress is not None
        task = progress._progress.tasks[0]
        assert (task.completed, task.total, task.fields["unit"]) == (2, 30, "round")
        progress(ProgressReport(0, 12, 30, 0.7261, True))
        assert task.finished
        progress(ProgressReport(1, 3, 30, 0.7, False))
        assert not progress._progress.tasks[1].finished
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", page.getvalue()).replace("\r", "\n").split("\n")
    bars = [line.split() for line in lines if line.startswith("Federated FedAvg, seed")]
    words = [[word for word in bar if "━" not in word and "╸" not in word] for bar in bars]
    assert words[-2][2:] == [
        "seed", "0", "round", "12/12", "validation", "ROC-AUC", "0.726", "0:00:00",
    ]  # fmt: skip
    assert words[-1][2:8] == ["seed", "1", "round", "3/30", "validation", "ROC-AUC"]


def test_verdicts_take_twelve_lines_at_most_and_none_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(console, "get_console", lambda: Console(file=out, width=100))
    long = [f"Verdict {i}: {'word ' * 70}end {i}." for i in range(5)]  # four lines each
    table = pd.DataFrame({"Model": ["Local"], "ROC-AUC pooled": ["0.7"]})
    console.show_results(table, [], long)
    verdicts, _, rest = out.getvalue().partition("Table 1.")
    assert len(verdicts.strip().splitlines()) == 12
    assert verdicts.rstrip().endswith("end 2.")
    assert "Verdict 3" not in out.getvalue()
    assert ".7" in rest
