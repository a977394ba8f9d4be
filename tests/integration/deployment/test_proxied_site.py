"""The real SuperLink and SuperNode, with a proxy between them and another for the loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kedro_project import PROJECT

sys.path.insert(0, str(PROJECT / "tests" / "apps"))
from ms_pfl.deployment.policy import SitePolicy, write_policy
from network_examples import HOST, ConnectProxy, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BIN = Path(sys.executable).parent


class Scripts:
    """The scripts of deploy/, each with its output in a log; stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._stack = folder, ExitStack()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.lower().endswith("proxy")
        } | {
            "MS_PFL_BIN": str(BIN), "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT / "src"), "FLWR_HOME": str(folder / "flwr"),
        }  # fmt: skip

    def run(self, name: str, *arguments: object, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [PROJECT / "deploy" / name, *map(str, arguments)],
            env=self.environment | environment, cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout

    def start(self, name: str, *arguments: object, **environment: str) -> Path:
        log = self.folder / f"{name}.log"
        process = self._stack.enter_context(
            subprocess.Popen(
                [PROJECT / "deploy" / name, *map(str, arguments)],
                env=self.environment | environment, cwd=self.folder, start_new_session=True,
                stdout=log.open("w"), stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
        self._stack.callback(process.send_signal, signal.SIGTERM)
        return log

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    scripts = Scripts(tmp_path)
    yield scripts
    scripts.stop()


def wait_for(log: Path, text: str) -> str:
    until = time.monotonic() + 90
    while text not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)
    return log.read_text()


def test_a_site_behind_a_proxy(scripts: Scripts) -> None:
    folder, port, inner = scripts.folder, free_port(HOST), free_port()
    assert scripts.run("make_certificates.sh", "certificates", HOST)[0] == 0
    assert scripts.run("make_key.sh", "keys", "Korea")[0] == 0
    (folder / "registry").mkdir(0o700)
    (folder / "site").mkdir(0o700)
    write_policy(folder / "site", SitePolicy())
    dead = f"http://127.0.0.1:{free_port()}"
    # nobody is at the proxy for the SuperLink's own processes: they do not take it
    log = scripts.start(
        "start_superlink.sh", "certificates", "state", HOST, port, inner,
        https_proxy=dead, http_proxy=dead,
    )  # fmt: skip
    wait_for(
        log, f"The gate at {HOST}:{port} passes the sites to the SuperLink; flwr reaches it at"
    )
    code, said = scripts.run("start_superlink.sh", "certificates", "state", HOST, free_port(HOST))
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"a SuperLink runs already in {folder / 'state'}: process ")
    code, said = scripts.run("start_superlink.sh", "certificates", "other", HOST, port)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"port {port}, for the sites, is taken by python")
    other = free_port(HOST)
    code, said = scripts.run("start_superlink.sh", "certificates", "other", HOST, other, inner)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"port {inner}, for the SuperLink, is taken by flower-superlin")

    (folder / "flwr" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{inner}"\n'
        f'root-certificates = "{folder / "certificates" / "ca.crt"}"\n'
    )
    subprocess.run(
        ["flwr", "supernode", "register", folder / "keys" / "Korea.pub", "here"],
        env=scripts.environment, cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    site = [f"{HOST}:{port}", "certificates/ca.crt", "keys/Korea", "Korea, Republic of",
            "registry", "site", free_port()]  # fmt: skip
    code, said = scripts.run("start_site.sh", *site, https_proxy=dead)
    assert (code, said.count("\n")) == (1, 1)
    assert "(from https_proxy) cannot be used (Connection refused): correct" in said
    with ConnectProxy() as proxy:
        log = scripts.start(
            "start_site.sh", *site, https_proxy=f"http://{proxy.address}", http_proxy=dead
        )
        text = wait_for(log, "SuperNode ID: ")
        assert f"is reached through the proxy {proxy.address} (from https_proxy)\n" in text
        assert len(proxy.asked) >= 2, "the probe and the SuperNode"
        assert set(proxy.asked) == {f"CONNECT {HOST}:{port}"}
        code, said = scripts.run("start_site.sh", *site[:-1], free_port())
        assert (code, said.count("\n")) == (1, 1)
        assert said.startswith(f"a site runs already in {folder / 'site'}: process ")
        wait_for(log, "Ready for messages")  # the process that asks the SuperNode for work
        time.sleep(2)
        assert "Connection attempt failed" not in log.read_text()
        assert set(proxy.asked) == {f"CONNECT {HOST}:{port}"}
        scripts.stop()
