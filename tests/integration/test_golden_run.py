"""A smoke run and a federation of three sites give the results they gave before, bit by bit.

``tests/support/golden.json`` holds the digests, and the kind of machine that they are of: matrix
products of other processors and libraries differ in the last bits of a float32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import golden
from kedro_project import PROJECT
from smoke_fixtures import FinishedRun

GOLDEN: dict[str, Any] = json.loads(golden.GOLDEN.read_text(encoding="utf-8"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        golden.machine() != GOLDEN["machine"],
        reason=f"the digests are of {GOLDEN['machine']}, and this is {golden.machine()}",
    ),
]


@pytest.mark.parametrize("kind", ["predictions", "models"])
def test_every_training_has_the_same_bits(smoke_run: FinishedRun, kind: str) -> None:
    found = golden.KINDS[kind](smoke_run.folder)
    assert found == GOLDEN[kind]
    assert len(found) == 17


def test_the_result_tables_hold_the_same(smoke_run: FinishedRun) -> None:
    assert golden.other_values(GOLDEN["tables"], golden.tables(smoke_run.folder)) == []


def test_the_report_says_the_same(smoke_run: FinishedRun) -> None:
    """Whatever the order of its sections; what it says beside that is new."""
    assert set(GOLDEN["report"]) - set(golden.report(smoke_run.folder)) == set()


def test_three_sites_hold_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "deploy"))
    from demo import Demo

    with Demo(tmp_path) as demo:
        demo.make_registries()
        demo.make_keys()
        demo.init_sites({country: golden.secret_of(country) for country in demo.countries})
        demo.start_superlink()
        demo.register()
        for country in demo.countries:
            demo.start_site(country)
        for paradigm in ("adaptive", "fine_tuned"):
            done = demo.flwr_run(paradigm)
            assert (tmp_path / f"server/{paradigm}.fedavg/run.json").exists(), done.stdout
    assert golden.sites(tmp_path) == GOLDEN["sites"]
