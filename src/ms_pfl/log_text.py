"""Text that goes to a terminal or into a log, whatever the data hold that it tells of."""

import logging

from ms_pfl.text import shown

#: Of one line; longer ones come from nobody's hand.
_LONGEST = 20_000


def line(text: object) -> str:
    r"""Return a text as one printable line.

    >>> print(line("Peru [/bold]\n\x1b[2J"))
    Peru [/bold]\n\x1b[2J
    """
    return shown(text, _LONGEST)


def lines(text: str) -> str:
    r"""Return a text of which the program itself has broken the lines, all of them printable.

    >>> print(lines("a\x1b[2J\nb"))
    a\x1b[2J
    b
    """
    return "\n".join(line(one.expandtabs()) for one in text.split("\n"))


class PrintableMessages(logging.Filter):
    """Log messages that forge no line and move no cursor: a filter of handlers.

    A message of this package is one line. Other packages break theirs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the printable message into the record, which is always let through."""
        try:
            message = record.getMessage()
        except Exception:
            return True  # logging tells of arguments that do not fit
        own = record.name.partition(".")[0] == "ms_pfl"
        record.msg, record.args = (line if own else lines)(message), None
        return True


def print_messages_only() -> None:
    """Put the filter on all handlers of the root logger; ``conf/logging.yml`` may name none."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, PrintableMessages) for one in handler.filters):
            handler.addFilter(PrintableMessages())
