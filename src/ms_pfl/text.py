"""Text from elsewhere: of another machine, or of a file that somebody else wrote."""

_MOST = 200


def shown(text: object, most: int = _MOST) -> str:
    r"""Return a text from elsewhere as one printable line, for terminal, log, error and table cell.

    What does not print (line breaks, escape sequences, marks of direction) is shown as Python
    escapes it, and what is too long ends with an ellipsis.

    Args:
        text: of which ``str`` is taken.
        most: characters of the result.

    >>> print(shown("Peru\n\x1b[31mall is well"))
    Peru\n\x1b[31mall is well
    >>> shown("abcdefgh", most=5)
    'abcd…'
    """
    whole = str(text)
    parts: list[str] = []
    room = most
    for letter in whole[: most + 1]:
        part = letter if letter.isprintable() else _escaped(letter)
        room -= len(part)
        parts.append(part)
        if room < 0:
            while room < 1:  # for the ellipsis
                room += len(parts.pop())
            return "".join([*parts, "…"])
    return "".join(parts)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
