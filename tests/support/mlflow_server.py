"""An MLflow server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A server that answers at ``address`` until it is stopped."""

    address: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the server with its children; a second time does nothing."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int | None = None) -> Iterator[Server]:
    """Start a server that keeps everything in ``folder``, and end it with the body."""
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "1"),
                *("--backend-store-uri", "sqlite:///server.db"),
                *("--artifacts-destination", str(folder / "files")),
            ],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # it has children, which are to end with it
        )
    server = Server(address, process)
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield server
    finally:
        server.stop()
