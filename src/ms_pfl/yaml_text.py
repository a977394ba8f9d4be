"""Parameters that hold a name: text as it was written, never what YAML has made of it.

YAML reads ``NO`` as false, ``007`` as 7, ``010`` as 8, ``12:30`` as 750 and ``1e5`` as 100000.0.
The text that was written is lost then, so a name has to be text already.
"""

import datetime
import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from ms_pfl.names import normal


def written_text(given: Any) -> Any:
    """Return a text as it is, and refuse what YAML has read as something else.

    Raises:
        ValueError: a truth value, a number or a date, with the remedy.

    >>> written_text("NO")
    'NO'
    """
    if isinstance(given, bool):
        example = "YES" if given else "NO"
        words = "yes, on and true as true" if given else "no, off and false as false"
        raise ValueError(
            f'YAML reads {words}, in capitals too; put a name in quotes, such as "{example}"'
        )
    if isinstance(given, int | float):
        raise ValueError(
            "YAML reads this as a number, and drops leading zeros and colons; put a name in "
            'quotes, exactly as it is written in the data, such as "007"'
        )
    if isinstance(given, datetime.date):
        raise ValueError(
            f'YAML reads this as a date; put a name in quotes, such as "{given.isoformat()}"'
        )
    return given


def texts_in(given: Any) -> Any:
    """Check the elements of a list as :func:`written_text` does; anything else is returned."""
    return [written_text(one) for one in given] if isinstance(given, list | tuple) else given


def _label(given: Any) -> Any:
    # 0 to 7 are the numbers that only these digits make; 8 may have been 010.
    if type(given) is int and 0 <= given <= 7:
        return str(given)
    return written_text(given)


def _with_written_keys(given: Any) -> Any:
    """Check the keys of a mapping, so that the message names the mapping and the key."""
    if isinstance(given, Mapping):
        for key in given:
            if key is None:
                raise ValueError('YAML reads an empty key, ~ and null as nothing; write "null"')
            try:
                written_text(key)
            except ValueError as error:
                raise ValueError(f"the key {key!r}: {error}") from None
    return given


def _path_text(given: Any) -> Any:
    return os.fspath(given) if isinstance(given, os.PathLike) else written_text(given)


#: A name in its normal form: of a site, a column, a drug, a country.
YamlText = Annotated[str, BeforeValidator(written_text), AfterValidator(normal)]
#: The label of a table: a name, or one of the digits 0 to 7 without quotes.
YamlLabel = Annotated[str, BeforeValidator(_label), AfterValidator(normal)]
#: A file or folder, from Python also as a :class:`pathlib.Path`.
YamlPath = Annotated[str, BeforeValidator(_path_text)]
#: A name that is text for certain: a key that ``NAMED_KEYS`` has checked, or what Flower has read.
Name = Annotated[str, AfterValidator(normal)]
#: Put behind a mapping whose keys are names: ``Annotated[dict[Name, YamlText], NAMED_KEYS]``.
NAMED_KEYS = BeforeValidator(_with_written_keys)
