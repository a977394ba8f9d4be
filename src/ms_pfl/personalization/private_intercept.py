"""Private intercept: one shared network whose output unit has a bias of each site's own.

Sites whose outcome is rarer or commoner than elsewhere differ by that much at the least.
"""

from ms_pfl.personalization.partial import Partial


class PrivateIntercept(Partial):
    """The bias of the output unit stays."""

    def prefixes(self) -> tuple[str, ...]:
        """Return the array that stays."""
        return ("output.bias",)
