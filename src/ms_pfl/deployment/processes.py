"""What a process of a site or a server does to itself: it ends with its parent, within limits."""

from __future__ import annotations

import ctypes
import resource
import signal
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def end_with_parent(kind: int = signal.SIGTERM) -> None:
    """Have the system end this process with its parent, however that ends (Linux)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, kind)


def set_limit(kind: int, value: int) -> None:
    """Bind this process, as far as it is not bound already."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))
