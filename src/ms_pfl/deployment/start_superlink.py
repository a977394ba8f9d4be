"""Starts the SuperLink: what deploy/start_superlink.sh runs."""

import os
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from ms_pfl.deployment.network import check_port, without_local_proxy
from ms_pfl.errors import InputError
from ms_pfl.folder_lock import hold


def main(arguments: Sequence[str]) -> int:
    """Become the SuperLink of CERTIFICATES STATE [HOST [PORT]]; returns only if that fails."""
    certificates, state, host, port = [*arguments, *("127.0.0.1", "9443")[len(arguments) - 2 :]]
    try:
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise InputError(
                f"start_superlink.sh: PORT must be a number such as 9443, not {port!r}"
            )
        files = _check_certificates(Path(certificates).expanduser().resolve())
        database = Path(state).expanduser().resolve()
        lock = hold(database, "a SuperLink", "give each SuperLink a STATE of its own")
        # Fleet, Control and Runtime API are all served there; Flower opens no further port
        check_port(
            host, int(port), "the SuperLink",
            "name another port as the 4th argument of start_superlink.sh",
        )  # fmt: skip
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if lock.descriptor is not None:
        os.set_inheritable(lock.descriptor, True)  # the SuperLink holds it then
    environment = without_local_proxy(os.environ, host)
    environment["FLWR_HOME"] = environment.get("FLWR_HOME") or str(database / "flwr")
    command = [
        "flower-superlink", *files, "--enable-supernode-auth",
        "--database", str(database / "superlink.db"),
        "--log-file", str(database / "superlink.log"),
        "--disable-runtime-dependency-installation", "--host", host, "--port", port,
    ]  # fmt: skip
    os.execvpe(command[0], command, environment)


def _check_certificates(folder: Path) -> list[str]:
    """The options that name the certificates.

    Raises:
        InputError: a file is absent, closed to this account, or of another kind.
    """
    names = {"certfile": "server.pem", "keyfile": "server.key", "ca-certfile": "ca.crt"}
    for name in names.values():
        try:
            (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{folder / name} cannot be read ({error.strerror}); CERTIFICATES must be the "
                "folder that make_certificates.sh made, readable by this account"
            ) from None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key", password="")
        context.load_verify_locations(folder / "ca.crt")
    except ssl.SSLError as error:
        raise InputError(
            f"{folder}: server.pem, server.key and ca.crt do not belong together, or are not PEM "
            f"({error}); make them again by make_certificates.sh, in a new folder"
        ) from None
    return [part for kind, name in names.items() for part in (f"--ssl-{kind}", str(folder / name))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
