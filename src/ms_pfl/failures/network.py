"""What connections report."""

import errno
import re

from ms_pfl.failures.kinds import AGAIN, Failure, first_that_applies, named, one_line

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


def explain(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain a port that is taken, or a connection that cannot be made or was lost."""
    place = _address(causes)
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return Failure(
            f"Another program listens at {place or 'an address'} already (address already in use)",
            "end it or choose another port",
        )
    if not is_network(error):
        return None
    end = f" to {place}" if place else ""
    text = " ".join(str(one) for one in causes)
    kinds = [type(one).__name__ for one in causes]
    reason = next((str(one) for one in causes if named(one, "ssl.SSLError")), str(error))
    return first_that_applies(
        (
            any(
                named(one, "ssl.SSLError", "requests.SSLError", "urllib3.SSLError")
                for one in causes
            ),
            f"No secure connection{end}: {one_line(reason, 120)}",
            "check that the address begins as it should (http or https) and that the server's "
            "certificate is trusted here",
        ),
        (
            "gaierror" in kinds or "NameResolutionError" in kinds,
            f"No connection{end}: the name is not known",
            "check the address",
        ),
        (
            "ProxyError" in kinds,
            f"No connection{end}: the proxy refuses",
            "check the variables https_proxy, http_proxy and no_proxy",
        ),
        (
            any("Timeout" in one for one in kinds) or "timed out" in text,
            f"No connection{end}: no answer in time",
            "check the address and firewalls",
        ),
        (
            "ConnectionRefusedError" in kinds or "Connection refused" in text,
            f"No connection{end}: nobody answers there",
            "start the server",
        ),
        (
            "BrokenPipeError" in kinds,
            "What read from this program has closed the connection",
            AGAIN,
        ),
        (True, f"The connection{end} failed: {one_line(str(error), 120)}", "check the network"),
    )


def _address(causes: list[BaseException]) -> str:
    """Return the address in the texts of network errors."""
    for one in causes:
        for pattern in (r"host='([^']+)', port=(\d+)", r"\('([^']+)', (\d+)"):
            if found := re.search(pattern, str(one)):
                return f"{found[1]}:{found[2]}"
    return ""
