"""What an explanation of a failure is made of."""

from dataclasses import dataclass
from typing import Any

from ms_pfl.log_text import line as printable

#: The end of a remedy: all that lies on the disk is kept.
AGAIN = "then give the same command again"
#: No message of another program is shown beyond so many characters.
LONGEST = 300


@dataclass(frozen=True)
class Failure:
    """What went wrong, and what to do about it; as text it is one line."""

    cause: str
    remedy: str

    def __str__(self) -> str:
        """Return cause and remedy."""
        return f"{self.cause}; {self.remedy}"


def first_that_applies(*rows: tuple[bool, str, str]) -> Failure | None:
    """Return the first failure that applies; each row is whether it does, its cause and remedy."""
    return next((Failure(cause, remedy) for applies, cause, remedy in rows if applies), None)


def chain(error: BaseException) -> list[BaseException]:
    """Return an error and what lies behind it, the last one raised first.

    What a library was handling when it raised another error belongs to it; what our own code or
    Python was handling does not, unless the error was raised from it.
    """
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or any(one is other for other in found):
            continue
        found.append(one)
        # Ray, SQLAlchemy and urllib3 keep what they stand for
        waiting += [getattr(one, name, None) for name in ("__cause__", "cause", "orig", "reason")]
        if type(one).__module__ != "builtins" and not one.__suppress_context__:
            waiting.append(one.__context__)
    return found


def one_line(text: str, longest: int | None = None) -> str:
    """Return a text as one printable line, cut where it is longer than ``longest``."""
    line = printable(" ".join(text.split()))
    return line if longest is None or len(line) <= longest else line[: longest - 3] + "..."


def named(error: BaseException, *names: str) -> bool:
    """Return whether an error is of one of the classes, named as ``package.Class``."""
    kinds = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    return not kinds.isdisjoint(names)
