"""A federation of three sites on this machine: are its results those of the simulation?

A SuperLink with TLS, three SuperNodes with keys, each reading only the folder of its own tables
(synthetic), started by the scripts beside this file as docs/deployment.md tells. With masked sums
they train the adaptive and the fine-tuned paradigm, the further methods, a logistic regression and
boosted trees; then the same three countries are trained on Ray without masks, and predictions,
personal models and shared models are compared. Only this demonstration may do so: it owns all three
sites. Everything that was started is stopped; exit code 1 if a single bit differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.splits import split_patients
from ms_pfl.deployment import commands
from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.network import without_local_proxy
from ms_pfl.deployment.settings import read_parameters, toml_text
from ms_pfl.federation.checkpoints import read_arrays
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.parameters import Parameters
from ms_pfl.registry.ingest.tables import read_folder
from ms_pfl.registry.synthetic.simulation import simulate
from ms_pfl.training.simulation import Compute, Outcome, train_tables

PROJECT = Path(__file__).resolve().parents[1]
DEPLOY = PROJECT / "deploy"
ENV = "deploy_demo"
SITES = 3
SHOWN = tuple(
    Training(*name.split("."))
    for name in (
        "adaptive.fedavg", "fine_tuned.fedavg", "private_intercept.fedavg", "proximal_copy.fedavg",
        "scaffold.fedavg", "federated.logistic", "adaptive.trees",
    )
)  # fmt: skip
MARK = "MS_PFL_DEMO"
TABLES = ("patients", "visits", "relapses", "treatments")


class Demo:
    """The folder of a demonstration, its processes and its commands."""

    def __init__(self, folder: Path, env: str = ENV) -> None:
        """Prepare nothing yet.

        Args:
            folder: for everything that is made.
            env: the folder of conf/ that server and simulation use.
        """
        self.folder, self.env = folder, env
        self.port, self.inner_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.parameters: Parameters = read_parameters(str(PROJECT), env)
        self.countries: list[str] = []
        self._processes = ExitStack()
        self._environment = {
            **without_local_proxy(os.environ),
            "MS_PFL_BIN": str(Path(sys.executable).parent),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "flwr"),
            MARK: str(folder),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }

    def __enter__(self) -> Demo:
        """Return the demonstration itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all that was started, and what that has started in sessions of its own."""
        self._processes.close()
        until = time.monotonic() + 10
        while self.processes() and time.monotonic() < until:
            time.sleep(0.2)
        for number in self.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Whatever runs by this demonstration: all of it inherits a mark."""
        mark = f"{MARK}={self.folder}\0".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in path.read_bytes() + b"\0":
                    found.append(int(path.parent.name))
        return found

    def make_registries(self) -> None:
        """Write the tables of the largest countries of a synthetic registry, a folder per site."""
        tables = simulate(self.parameters.synthetic_registry)
        people = tables.patients.set_index("PATIENT_ID")["country"]
        self.countries = sorted(people.value_counts().index[:SITES])
        for country in [*self.countries, "all"]:
            folder = self.registry(country)
            folder.mkdir(parents=True)
            wanted = self.countries if country == "all" else [country]
            for name in TABLES:
                table: pd.DataFrame = getattr(tables, name)
                rows = table[table["PATIENT_ID"].map(people).isin(wanted)]
                rows.to_csv(folder / f"{name}.csv", index=False)

    def registry(self, country: str) -> Path:
        """Return a site's tables; ``all``: those of the simulation."""
        return self.folder / "registries" / country

    def site(self, country: str) -> Path:
        """Return the folder in which a site keeps what it makes."""
        return self.folder / "sites" / country

    def init_sites(self, secrets: Mapping[str, bytes] | None = None) -> None:
        """Make the site folders as each site's people do.

        Args:
            secrets: by country; None: each site draws its own. A test that compares digests with
                kept ones has to know them.
        """
        for country in self.countries:
            if secrets is not None:
                self.site(country).mkdir(parents=True)
                (self.site(country) / "secret").write_bytes(secrets[country])
            self.command_site("init", self.site(country))
        self.pin_keys()

    def pin_keys(self) -> None:
        """Exchange the keys of masked sums as the sites' people do, and compare the codes."""
        file = self.folder / "masks.yml"
        lines = [
            self.command_site("key", country, "--folder", self.site(country))
            for country in self.countries
        ]
        file.write_text("".join(lines))
        told = {
            self.command_site("pin", file, "--folder", self.site(country)).partition("Code ")[2]
            for country in self.countries
        }
        if len(told) != 1:
            raise AssertionError(f"the sites have pinned different keys: {told}")

    def command_site(self, *arguments: object) -> str:
        """Run a command of a site's people, and return what it printed."""
        return self.command(sys.executable, "-m", "ms_pfl", "site", *arguments).stdout

    def approve(self, tell: Callable[[str], None] | None = None) -> int:
        """Approve, as the operators, what waits at each site; return how many runs that were.

        Args:
            tell: of what the operator of the first site reads; None: nobody wants to know.
        """
        approved = 0
        for country in self.countries:
            folder, approvals = self.site(country), Approvals(self.site(country))
            for asked in approvals.all():
                if approvals.approval(asked.run) is not None:
                    continue
                if tell is not None and country == self.countries[0]:
                    tell(self.command_site("review", asked.run, "--folder", folder))
                commands.main(["approve", asked.run, "--days", "1", "--folder", str(folder)])
                approved += 1
        return approved

    def secret(self, country: str) -> bytes:
        """Return a site's secret, which nobody but this demonstration knows beside the site."""
        return (self.site(country) / "secret").read_bytes()

    def make_keys(self) -> None:
        """Certificates of the SuperLink, and a key pair a site."""
        self.command(DEPLOY / "make_certificates.sh", self.folder / "certificates", "127.0.0.1")
        for country in self.countries:
            self.command(DEPLOY / "make_key.sh", self.folder / "keys", country)
        told = self.command(DEPLOY / "make_sites_file.sh", self.folder / "keys").stdout
        self.sites_file.write_text(told)

    @property
    def sites_file(self) -> Path:
        """The server's file that binds each country to its key."""
        return self.folder / "sites.yml"

    def start_superlink(self, *limits: str) -> subprocess.Popen[bytes]:
        """Start the SuperLink, with some limits of its gate, and wait until it listens."""
        process = self.start(
            "superlink",
            DEPLOY / "start_superlink.sh",
            self.folder / "certificates",
            self.folder / "superlink",
            "127.0.0.1",
            self.port,
            self.inner_port,
            *limits,
        )
        wait_for_port(self.port, process)  # the gate's, which opens after the SuperLink's own
        return process

    def register(self) -> None:
        """Tell the SuperLink the public keys of the sites, by its port of this machine alone."""
        home = self.folder / "flwr"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "hospitals"\n\n[superlink.hospitals]\n'
            f'address = "127.0.0.1:{self.inner_port}"\n'
            f"root-certificates = {toml_text(str(self.folder / 'certificates' / 'ca.crt'))}\n"
        )
        for country in self.countries:
            public = self.folder / "keys" / f"{country}.pub"
            self.command("flwr", "supernode", "register", public, "hospitals")

    def start_site(
        self,
        country: str,
        *,
        key: str | None = None,
        certificate: Path | None = None,
        registry: Path | None = None,
        more: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a site's SuperNode."""
        return self.start(
            f"site-{country}",
            DEPLOY / "start_site.sh",
            self.address,
            certificate or self.folder / "certificates" / "ca.crt",
            self.folder / "keys" / (key or country),
            country,
            registry or self.registry(country),
            self.site(country),
            free_port(),
            *more,
        )

    def flwr_run(
        self,
        paradigm: str,
        strategy: str = "fedavg",
        tell: Callable[[str], None] = lambda line: print(f"    {line}", end="", flush=True),
        review: Callable[[str], None] | None = None,
        **settings: str | float | bool,
    ) -> subprocess.CompletedProcess[str]:
        """`flwr run` of one paradigm, which ends when the run has ended; each line is told.

        Meanwhile the sites' operators approve what is asked; ``review`` is told what they read.
        """
        told: dict[str, str | float | bool] = {
            "project": str(PROJECT),
            "env": self.env,
            "sites": json.dumps(self.countries),
            "keys": str(self.sites_file),
            "paradigm": paradigm,
            "strategy": strategy,
            "output": str(self.folder / "server"),
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        config = " ".join(f"{name}={_toml(value)}" for name, value in told.items())
        command = ["flwr", "run", str(PROJECT), "hospitals", "--stream", "--run-config", config]
        lines = []
        with subprocess.Popen(
            command, env=self._environment, cwd=self.folder, text=True, bufsize=1,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            operators = threading.Thread(target=self._operate, args=(process, review))
            operators.start()
            for line in process.stdout or ():
                lines.append(line)
                tell(line)
            process.wait()
            operators.join()
        return subprocess.CompletedProcess(command, process.returncode, "".join(lines))

    def _operate(
        self, process: subprocess.Popen[str], review: Callable[[str], None] | None
    ) -> None:
        """Look after a run as the sites' operators do, until all have approved it or it ends."""
        left = len(self.countries)
        while left > 0 and process.poll() is None:
            left -= self.approve(review)
            time.sleep(1)

    def start(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        """Start a process that is stopped with the demonstration; its output goes to a log."""
        return self._processes.enter_context(
            running([str(part) for part in command], self.folder / f"{name}.log", self._environment)
        )

    def command(self, *command: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and return what it printed."""
        done = subprocess.run(
            [str(part) for part in command],
            env=self._environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
        return done

    def simulate(self, trainings: Sequence[Training]) -> dict[Training, Outcome]:
        """Train the same countries, splits and settings on Ray.

        Args:
            trainings: that are compared; what one of them starts from is trained with it, and
                compared too.

        Returns:
            The outcomes, in the order of their training.
        """
        own = self.parameters
        episodes = build_episodes(read_folder(self.registry("all")), own.cohort).episodes
        splits = pd.concat(
            split_patients(part, own.seeds, own.splits, self.secret(str(country)))
            for country, part in episodes.groupby("country", sort=True)
        )
        compute = Compute(RayParameters(num_workers=2, address=None), own.device)
        outcomes: dict[Training, Outcome] = {}
        for training in trainings:
            before = PARADIGMS[training.paradigm].starts_from
            first = None if before is None else Training(before, training.strategy)
            for each in (first, training):
                if each is None or each in outcomes:
                    continue
                start = None if first in (None, each) else outcomes[first].models
                outcomes[each] = train_tables(
                    each, episodes, splits, own.training, compute, lambda _: None, start
                )
        return outcomes

    def differences(self, outcomes: Mapping[Training, Outcome]) -> dict[str, float]:
        """Return the greatest difference of each kind between the sites and the simulation."""
        found: dict[str, float] = {}
        keys = ["seed", "country", "patient_id", "episode_id", "split", "label"]
        for training, outcome in outcomes.items():
            name = training.name
            paths = [
                path
                for country in self.countries
                for path in sorted(self.site(country).glob(f"runs/*/{name}/predictions.*.parquet"))
            ]
            there = pd.concat([pd.read_parquet(path) for path in paths]).sort_values(keys)
            here = outcome.predictions.sort_values(keys)
            if not np.array_equal(there[keys].astype(str), here[keys].astype(str)):
                raise AssertionError(f"{name}: the sites predicted for other episodes")
            gap = there["probability"].to_numpy() - here["probability"].to_numpy()
            found[f"{name}: {len(here)} predictions"] = float(np.abs(gap).max())
            arrays: dict[str, np.ndarray] = {}
            for country in self.countries:
                for path in self.site(country).glob(f"runs/*/{name}/models.*.safetensors"):
                    arrays |= read_arrays(path)[0]
            server = self.folder / "server" / name / "models.safetensors"
            if server.exists():
                sent = read_arrays(server)[0]
                if any("/personal/" in key for key in sent):
                    raise AssertionError(f"{name}: the server has personal arrays")
                arrays |= {k: a for k, a in sent.items() if training.paradigm != "fine_tuned"}
            wanted = {key: a for key, a in outcome.models.items() if key != "stamp"}
            if arrays.keys() != wanted.keys():
                raise AssertionError(f"{name}: other arrays: {arrays.keys() ^ wanted.keys()}")
            found[f"{name}: {len(wanted)} arrays of the models"] = max(
                float(np.abs(arrays[key] - wanted[key]).max()) for key in wanted
            )
        return found


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return toml_text(value) if isinstance(value, str) else str(float(value))


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, and stop it with its children at the end: asked first, then ended."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=dict(environment),
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], patience: float = 15.0) -> None:
    """Stop a process that leads a group, and whatever it has started."""
    for kind, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
        if not alive(process):
            return
        with_group(process, kind)
        until = time.monotonic() + wait
        while alive(process) and time.monotonic() < until:
            time.sleep(0.1)


def alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process or one of its group still runs."""
    process.poll()
    return with_group(process, 0)


def with_group(process: subprocess.Popen[bytes], kind: int) -> bool:
    """Send a signal to a process and its group; False if nobody is left."""
    try:
        os.killpg(process.pid, kind)
    except ProcessLookupError:
        return False
    return True


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], patience: float = 60.0) -> None:
    """Wait until somebody listens at a port."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the SuperLink ended at once, with code {process.returncode}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError("the SuperLink does not listen")


def main() -> int:
    """Run the demonstration; 0 if the results of the federation equal those of the simulation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="a new folder in which everything stays")
    chosen = parser.parse_args().keep
    folder = chosen.resolve() if chosen else Path(tempfile.mkdtemp(prefix="ms_pfl-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is stopped
    try:
        with Demo(folder) as demo:
            demo.make_registries()
            print(
                f"Three sites with synthetic tables (no real people): {', '.join(demo.countries)}"
            )
            demo.make_keys()
            demo.init_sites()
            demo.start_superlink()
            demo.register()
            print(f"SuperLink with TLS at {demo.address}; the keys of the sites are registered")
            for country in demo.countries:
                demo.start_site(country)
            for training in SHOWN:
                print(f"flwr run: {training.name}", flush=True)
                demo.flwr_run(*training, review=print if training == SHOWN[0] else None)
                if not (demo.folder / "server" / training.name / "run.json").exists():
                    print(f"{training.name} has not finished; the logs are in {folder}")
                    chosen = folder
                    return 1
        print(f"All processes are stopped, after {time.monotonic() - began:.0f} s")
        found = demo.differences(demo.simulate(SHOWN))
        for name, value in found.items():
            print(f"Greatest difference from the simulation, {name}: {value:.1e}")
        same = not any(found.values())
        print(f"masked sums equal plain sums: {'yes' if same else 'no'}")
        print(
            f"The results of the sites {'equal' if same else 'DIFFER from'} those of the simulation"
        )
        return 0 if same else 1
    finally:
        if chosen is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
