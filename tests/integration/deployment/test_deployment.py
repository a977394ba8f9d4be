"""Real processes: who is let in, and what happens when a site or the SuperLink dies in a run."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ms_pfl.paradigms import Training

DEMO = Path(__file__).resolve().parents[3] / "deploy" / "demo.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def load_demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["deploy_demo"] = module
    spec.loader.exec_module(module)
    return module


demo_module = load_demo()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[object]:
    """A SuperLink that knows three sites, of which none is started yet."""
    with demo_module.Demo(tmp_path) as demo:
        demo.make_registries()
        demo.make_keys()
        demo.init_sites()
        demo.superlink = demo.start_superlink()
        demo.register()
        yield demo
    time.sleep(1)
    assert not demo.processes(), "a process was left"


def wait_for(log: Path, text: str, seconds: float = 120.0) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if log.exists() and text in log.read_text():
            return log.read_text()
        time.sleep(0.5)
    raise AssertionError(f"{text!r} is not in {log}:\n{log.read_text()[-3000:]}")


class Run:
    """`flwr run` in a thread, and what it has printed so far."""

    def __init__(self, demo: object, paradigm: str, **settings: object) -> None:
        self.lines: list[str] = []
        self._thread = threading.Thread(
            target=lambda: demo.flwr_run(paradigm, tell=self.lines.append, **settings)  # type: ignore[attr-defined]
        )
        self._thread.start()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str, seconds: float = 600.0) -> None:
        until = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < until, f"{text!r} did not come:\n{self.text}"
            assert self._thread.is_alive() or text in self.text, self.text
            time.sleep(0.2)

    def join(self) -> str:
        self._thread.join(900)
        assert not self._thread.is_alive()
        return self.text


def kill(process: object) -> None:
    """As a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    process.wait()  # type: ignore[attr-defined]


def assert_as_simulated(demo: object, training: Training) -> None:
    found = demo.differences(demo.simulate([training]))  # type: ignore[attr-defined]
    assert found
    assert set(found.values()) == {0.0}, found


def test_who_is_not_let_in(demo) -> None:  # type: ignore[no-untyped-def]
    country = demo.countries[0]
    other = demo.folder / "other"
    demo.command(demo_module.DEPLOY / "make_certificates.sh", other, "127.0.0.1")
    process = demo.start_site(country, certificate=other / "ca.crt")
    assert process.wait(60) == 1
    log = (demo.folder / f"site-{country}.log").read_text()
    assert "does not show a certificate for 127.0.0.1 that is signed by" in log
    demo.command(demo_module.DEPLOY / "make_key.sh", demo.folder / "keys", "Nobody")
    country = demo.countries[1]
    process = demo.start_site(country, key="Nobody")
    wait_for(demo.folder / f"site-{country}.log", "Nobody.pub is not registered there")
    impostor = demo.start_site(demo.countries[0], key=demo.countries[2])  # which is registered
    wait_for(demo.folder / f"site-{demo.countries[0]}.log", "Ready for messages")
    text = Run(demo, "federated", wait_for_sites=30.0).join()
    named = ", ".join(f'"{country}"' for country in demo.countries)
    assert f"{named} did not come within 30 seconds" in text
    assert f'"{demo.countries[0]}" is refused, and the run goes on without it: its key is' in text
    assert not list(demo.site(demo.countries[0]).glob("snapshots")), "it was asked its name alone"
    demo_module.stop(impostor)
    assert process.wait(300) == 1
    assert "Given up" in (demo.folder / f"site-{country}.log").read_text()


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("adaptive.fedavg", "round 1 of"),
        ("federated.logistic", "round 1 of"),
        ("federated.trees", "round 4 of"),  # trees are told of where they are scored
    ],
)
def test_a_site_is_killed_in_a_round(demo, name: str, at: str) -> None:  # type: ignore[no-untyped-def]
    training = Training(*name.split("."))
    sites = {country: demo.start_site(country) for country in demo.countries}
    run = Run(demo, training.paradigm, strategy=training.strategy)
    run.wait_for(at)
    killed = demo.countries[1]
    kill(sites[killed])
    demo.start_site(killed)
    text = run.join()
    assert killed in text.partition(at)[2].partition("finished")[0], "it is told of"
    assert_as_simulated(demo, training)


@pytest.mark.parametrize(
    ("name", "at", "told"),
    [
        ("adaptive.fedavg", "round 2 of", "goes on after round"),
        ("federated.logistic", "round 2 of", "finished"),  # it begins again, and is answered again
        ("federated.trees", "round 4 of", "goes on after tree 4"),
        ("adaptive.trees", "round 4 of", "goes on after tree 4"),
    ],
)
def test_the_superlink_is_killed_in_a_run(demo, name: str, at: str, told: str) -> None:  # type: ignore[no-untyped-def]
    training = Training(*name.split("."))
    for country in demo.countries:
        demo.start_site(country)
    run = Run(demo, training.paradigm, strategy=training.strategy)
    run.wait_for(at)
    kill(demo.superlink)
    run.join()
    assert not (demo.folder / "server" / name).exists()
    demo.superlink = demo.start_superlink()
    text = Run(demo, training.paradigm, strategy=training.strategy).join()
    assert told in text
    assert_as_simulated(demo, training)
