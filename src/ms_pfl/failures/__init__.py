"""Sentences for what fails outside the tables: disk, permissions, network, memory, configuration.

An exception is recognized by the names of its class and package, so that nothing is imported for
it: an exception that was raised is that of a library which is there.
"""

from collections.abc import Callable

from ms_pfl.errors import InputError
from ms_pfl.failures import machine, network
from ms_pfl.failures.kinds import Failure, chain, named, one_line

__all__ = ["Failure", "chain", "explain", "failure_of", "named", "one_line"]

_Explanation = Callable[[BaseException, list[BaseException]], Failure | None]
_SPECIFIC: tuple[_Explanation, ...] = (
    network.explain,
    machine.explain_memory,
    machine.explain_database,
    machine.explain_configuration,
    machine.explain_packages,
    machine.explain_file,
)
_GENERAL: tuple[_Explanation, ...] = (machine.explain_system, machine.explain_mlflow)


def explain(error: BaseException) -> str | None:
    """Return one line with cause and remedy, or None where the program itself is at fault."""
    for one in chain(error):
        if isinstance(one, InputError) or named(one, "kedro.DataValidationError"):
            return one_line(str(one))
    failure = failure_of(error)
    return None if failure is None else str(failure)


def failure_of(error: BaseException) -> Failure | None:
    """Return the failure outside the program that lies behind an error, or None."""
    causes = chain(error)
    found = (
        explanation(one, causes)
        for explanations in (_SPECIFIC, _GENERAL)
        for one in causes
        for explanation in explanations
    )
    return next(filter(None, found), None)
