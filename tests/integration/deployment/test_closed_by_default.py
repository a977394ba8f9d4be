"""A client without a key, a site's key, and a foreign app against real servers: nothing starts."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.cli.build import build_fab_from_files
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from kedro_project import PROJECT

sys.path.insert(0, str(PROJECT / "deploy"))
import demo as demo_module

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "{publisher}"

[tool.flwr.app.components]
serverapp = "{server}"
clientapp = "{client}"

[tool.flwr.app.config]
"""
SERVER = """
import time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    nodes = list(grid.get_node_ids())
    content = RecordDict({{"config": ConfigRecord({{"x": 1}})}})
    asked = [Message(content, dst_node_id=node, message_type="query.thief") for node in nodes]
    for reply in grid.send_and_receive(asked, timeout=120):
        print("STOLEN" if reply.has_content() else "REFUSED", reply.error.reason)
"""
CLIENT = """
import os
from pathlib import Path
Path("{marker}").touch()
from flwr.clientapp import ClientApp
app = ClientApp()

@app.query("thief")
def thief(message, context):
    Path("{marker}").touch()
    raise SystemExit
"""
PATHS = [
    "/v1/control/start-run", "/v1/control/list-runs", "/v1/control/list-nodes",
    "/v1/control/register-node", "/v1/runtime/acquire-task", "/v1/runtime/pull-task-input",
    "/v1/runtime/create-task", "/v1/runtime/responses", "//v1/control/start-run",
    "/v1//control/start-run", "/v1/control//start-run", "/V1/CONTROL/START-RUN",
    "/v1/Control/start-run", "/v1/control/start-run/", "/v1%2fcontrol%2fstart-run",
    "/v1/control%2Fstart-run", "/v1/fleet/../control/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/..%2fcontrol/start-run", "/v1/fleet/.%2E/runtime/acquire-task",
    "/v1/fleet/%252e%252e/control/start-run", "/v1/fleet/pull-messages/../../control/start-run",
    "/./v1/control/start-run", "/v1/./control/start-run", "/v1/%63ontrol/start-run",
    "/v1/fleet/register-node", "/v1/fleet/unregister-node", "/docs", "/openapi.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[demo_module.Demo]:
    """A SuperLink behind its gate, and three registered sites that are connected."""
    folder = tmp_path_factory.mktemp("closed")
    with demo_module.Demo(folder) as demo:
        demo.make_registries()
        demo.make_keys()
        demo.init_sites()
        demo.start_superlink("notes-per-minute=1000")  # each attempt is to be told
        demo.register()
        for country in demo.countries:
            demo.start_site(country)
        for country in demo.countries:
            wait_for(folder / f"site-{country}.log", "Ready for messages")
            wait_for(folder / f"site-{country}.log", "SuperNode ID: ")
        yield demo
    time.sleep(1)
    assert not demo.processes(), "a process was left"


def wait_for(log: Path, text: str) -> None:
    until = time.monotonic() + 180
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.3)


def gate_lines(demo: demo_module.Demo) -> list[str]:
    lines = (demo.folder / "superlink.log").read_text(errors="replace").splitlines()
    return [line for line in lines if " gate: refused " in line]


def reached(demo: demo_module.Demo) -> list[str]:
    """What the SuperLink itself was asked of control and runtime."""
    text = (demo.folder / "superlink.log").read_text(errors="replace")
    return re.findall(r'"POST (\S*control\S*) HTTP', text)


def foreign_app(folder: Path, marker: Path, **names: str) -> Path:
    """An app whose client leaves a mark wherever one of its modules is imported."""
    folder.mkdir()
    told = {"name": "thief", "publisher": "thief", "server": "thief.server:app",
            "client": "thief.client:app"} | names  # fmt: skip
    (folder / "pyproject.toml").write_text(PYPROJECT.format(**told))
    for module in {told["server"], told["client"]}:
        path = folder / (module.partition(":")[0].replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents:
            if str(parent) != ".":
                (folder / parent / "__init__.py").touch()
        path.write_text((SERVER if module == told["server"] else CLIENT).format(marker=marker))
    return folder


def flwr_run(demo: demo_module.Demo, app: Path, superlink: str) -> str:
    done = subprocess.run(
        ["flwr", "run", str(app), superlink, "--stream"], env=demo._environment, cwd=demo.folder,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    return done.stdout


def test_flwr_run_without_a_key_at_the_sites_port(demo: demo_module.Demo, tmp_path: Path) -> None:
    config = demo.folder / "flwr" / "config.toml"
    before = config.read_text()
    config.write_text(
        before
        + f'\n[superlink.outside]\naddress = "{demo.address}"\n'
        + f'root-certificates = "{demo.folder / "certificates" / "ca.crt"}"\n'
    )
    asked, refused = reached(demo), gate_lines(demo)
    try:
        said = flwr_run(demo, foreign_app(tmp_path / "thief", tmp_path / "mark"), "outside")
    finally:
        config.write_text(before)
    assert "Successfully started run" not in said
    assert not (tmp_path / "mark").exists()
    assert reached(demo) == asked, "nothing has reached the SuperLink"
    new = gate_lines(demo)[len(refused) :]
    assert new
    assert all(" asked='POST /v1/control/" in line and " status=404 " in line for line in new)


def start_run(tmp_path: Path) -> bytes:
    """What starts an app, if it is let through."""
    app = foreign_app(tmp_path / "raw", tmp_path / "mark")
    files = {str(p.relative_to(app)): p.read_bytes() for p in app.rglob("*") if p.is_file()}
    fab = build_fab_from_files(files)[0]
    return StartRunRequest(fab=Fab(hash_str="", content=fab)).SerializeToString()


@pytest.mark.parametrize("who", ["nobody", "Turkey's key"])
def test_raw_requests_at_the_sites_port(who: str, demo: demo_module.Demo, tmp_path: Path) -> None:
    body = start_run(tmp_path)
    asked, refused = reached(demo), gate_lines(demo)
    context = ssl.create_default_context(cafile=str(demo.folder / "certificates" / "ca.crt"))
    with httpx.Client(verify=context, trust_env=False) as client:
        for path in PATHS:
            request = httpx.Request(
                "POST", f"https://{demo.address}/", content=body,
                headers={"content-type": "application/protobuf"},
                extensions={"target": path.encode()},
            )  # fmt: skip
            if who != "nobody":
                sign(request, demo.folder / "keys" / demo.countries[0])
            assert client.send(request).status_code == 404, path
    new = gate_lines(demo)[len(refused) :]
    assert len(new) == len(PATHS), "one line each"
    assert reached(demo) == asked
    assert not (tmp_path / "mark").exists()


def sign(request: httpx.Request, key: Path) -> None:
    """Sign a request as the SuperNode of a registered key does."""
    private = load_ssh_private_key(key.read_bytes(), None)
    signs = NodeAuthHttpInterceptor(private, private.public_key())  # type: ignore[arg-type]
    told = ProtobufRequestContext(rpc_method="", message=StartRunRequest(), request=request)
    signs.intercept(told, lambda _: httpx.Response(200))


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({}, "its publisher 'thief' should be 'ms-pfl'"),
        (
            {"name": "ms-pfl", "publisher": "ms-pfl", "server": "thief.server:app",
             "client": "ms_pfl.deployment.site:app"},
            "its serverapp 'thief.server:app' should be 'ms_pfl.deployment.server:app'",
        ),
    ],
)  # fmt: skip
def test_a_foreign_app_of_an_account_of_the_server(
    names: dict[str, str], wanted: str, demo: demo_module.Demo, tmp_path: Path
) -> None:
    """Who reaches the loopback of the server starts what he likes there, and nothing at a site."""
    app = foreign_app(tmp_path / "thief", tmp_path / "mark", **names)
    said = flwr_run(demo, app, "hospitals")
    assert said.count("REFUSED") == len(demo.countries), said
    assert "STOLEN" not in said
    assert not (tmp_path / "mark").exists()
    for country in demo.countries:
        log = (demo.folder / f"site-{country}.log").read_text()
        line = f"{country} starts ms-pfl 0.1.0 alone: {wanted}; nothing was started"
        assert log.count(line) == 1
        noted = (demo.site(country) / "security.jsonl").read_text().splitlines()
        facts = [json.loads(line)["facts"] for line in noted]
        assert [one["reason"] for one in facts if one.get("what") == "app"].count(wanted) == 1


def test_an_honest_run_afterwards(demo: demo_module.Demo) -> None:
    demo.flwr_run("local")
    assert (demo.folder / "server" / "local.none" / "run.json").exists()
