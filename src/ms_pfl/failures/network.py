"""What connections report."""

from __future__ import annotations

import errno
import re

from ms_pfl.failures.kinds import AGAIN, Failure, named, one_line

_NETWORK = (
    "ssl.SSLError",
    "socket.gaierror",
    "socket.herror",
    "builtins.TimeoutError",
    "builtins.ConnectionError",
    "requests.ConnectionError",
    "requests.Timeout",
    "urllib3.HTTPError",
    "urllib.URLError",
    "grpc.RpcError",
)
_NETWORK_NUMBERS = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN)


def is_network(error: BaseException) -> bool:
    """Return whether an error is one of a connection."""
    return named(error, *_NETWORK) or getattr(error, "errno", None) in _NETWORK_NUMBERS


def explain_port(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain a port that is taken."""
    if getattr(error, "errno", None) != errno.EADDRINUSE:
        return None
    place = _address(causes) or "an address"
    return Failure(
        f"Another program listens at {place} already (address already in use)",
        "end it or choose another port",
    )


def explain(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain a connection that cannot be made or was lost."""
    if not is_network(error):
        return None
    place = _address(causes)
    end = f" to {place}" if place else ""
    text = " ".join(str(one) for one in causes)
    kinds = [type(one).__name__ for one in causes]
    if any(named(one, "ssl.SSLError", "requests.SSLError", "urllib3.SSLError") for one in causes):
        reason = next((str(one) for one in causes if named(one, "ssl.SSLError")), str(error))
        return Failure(
            f"No secure connection{end}: {one_line(reason, 120)}",
            "check that the address begins as it should (http or https) and that the server's "
            "certificate is trusted here",
        )
    if "gaierror" in kinds or "NameResolutionError" in kinds:
        return Failure(f"No connection{end}: the name is not known", "check the address")
    if "ProxyError" in kinds:
        return Failure(
            f"No connection{end}: the proxy refuses",
            "check the variables https_proxy, http_proxy and no_proxy",
        )
    if any(one for one in kinds if "Timeout" in one) or "timed out" in text:
        return Failure(f"No connection{end}: no answer in time", "check the address and firewalls")
    if "ConnectionRefusedError" in kinds or "Connection refused" in text:
        return Failure(f"No connection{end}: nobody answers there", "start the server")
    if "BrokenPipeError" in kinds:
        return Failure("What read from this program has closed the connection", AGAIN)
    return Failure(f"The connection{end} failed: {one_line(str(error), 120)}", "check the network")


def _address(causes: list[BaseException]) -> str:
    """The address in the texts of network errors."""
    for one in causes:
        if found := re.search(r"host='([^']+)', port=(\d+)", str(one)):
            return f"{found[1]}:{found[2]}"
        if found := re.search(r"\('([^']+)', (\d+)", str(one)):
            return f"{found[1]}:{found[2]}"
    return ""
