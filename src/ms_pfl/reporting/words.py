"""How the report writes sites, models, numbers and protocol choices; tables as Markdown."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from ms_pfl.paradigms import learner_of, model_key, model_name

#: Protocol choice -> the published value, and what it means
PUBLISHED: dict[str, tuple[object, str]] = {
    "split_unit": ("episode", "episodes split at random, not patients"),
    "scaling": ("country", "each country scaled by its own mean and sd"),
    "selection": ("test", "best round chosen by test ROC-AUC"),
    "personal_arrays": ("reset", "personal layers drawn again at every message"),
    "proximal_term": (False, "FedProx without its proximal term"),
    "fine_tuning_rows": ("redrawn", "fine-tuning on newly drawn rows"),
}
#: A row of a table.
Row = Mapping[Any, Any] | pd.Series
#: What a cell holds where there is no value.
MISSING = "–"
_MOST_DIGITS = 8


def site_words(source: Mapping[str, str]) -> tuple[str, str]:
    """Return what the data call a site, and several: country, unless the source says otherwise.

    >>> site_words({"kind": "own", "site": "hospital"})
    ('hospital', 'hospitals')
    """
    site = source.get("site", "country")
    return site, plural(site)


def plural(noun: str) -> str:
    """Return the plural of an English noun.

    >>> plural("country"), plural("bay"), plural("branch")
    ('countries', 'bays', 'branches')
    """
    if re.search("[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if re.search("(s|x|z|ch|sh)$", noun) else f"{noun}s"


def capitalized(words: str) -> str:
    """Return words with a capital at the start, and as they are behind it.

    >>> capitalized("MS center"), capitalized("country")
    ('MS center', 'Country')
    """
    return f"{words[:1].upper()}{words[1:]}"


def format_value(mean: float, sd: float = math.nan, digits: int = 3) -> str:
    """Return ``0.812 ± 0.003``, without ± where there is no sd, a dash where no mean.

    >>> format_value(0.8123, 0.0031)
    '0.812 ± 0.003'
    >>> format_value(0.8123)
    '0.812'
    """
    spread = "" if math.isnan(sd) else f" ± {sd:.{digits}f}"
    return MISSING if math.isnan(mean) else f"{mean:.{digits}f}{spread}"


def with_interval(row: Row, digits: int = 3) -> str:
    """Return a value and its interval, ``0.712 [0.690, 0.733]``, a dash where there is none.

    >>> with_interval({"value": 0.7123, "low": 0.69, "high": 0.7333})
    '0.712 [0.690, 0.733]'
    >>> with_interval({"value": 0.021, "low": float("nan"), "high": float("nan")})
    '0.021'
    """
    value, low, high = (f"{row[name]:.{digits}f}" for name in ("value", "low", "high"))
    if math.isnan(row["value"]):
        return MISSING
    return value if math.isnan(row["low"]) else f"{value} [{low}, {high}]"


def signed(row: Row, digits: int = 3) -> str:
    """Return a difference, with its interval where it has one: ``+0.012 [+0.003, +0.021]``.

    >>> signed({"difference": 0.0123, "low": 0.003, "high": 0.021})
    '+0.012 [+0.003, +0.021]'
    >>> signed({"difference": -0.0123, "low": -0.0243, "high": -0.0003})
    '-0.012 [-0.024, -0.0003]'
    """
    if math.isnan(row["difference"]):
        return MISSING
    value = with_sign(row["difference"], digits)
    if math.isnan(row["low"]):
        return value
    return f"{value} [{interval_end(row['low'], digits)}, {interval_end(row['high'], digits)}]"


def interval_end(value: float, digits: int = 3) -> str:
    """Return an end of an interval with its sign, in as many digits as tell its side of zero.

    >>> interval_end(-0.0123), interval_end(-0.0003), interval_end(0.00002), interval_end(0.0)
    ('-0.012', '-0.0003', '+0.00002', '+0.000')
    """
    return with_sign(value, _digits_beside(0.0, value, digits))


def _digits_beside(limit: float, value: float, digits: int) -> int:
    """Return how many digits keep a value that is not the limit from being printed as it."""
    while value != limit and round(value, digits) == limit and digits < _MOST_DIGITS:
        digits += 1
    return digits


def with_sign(value: float, digits: int = 3) -> str:
    """Return a number with its sign, and no ``-0.000``.

    >>> with_sign(-0.0123), with_sign(-0.00001)
    ('-0.012', '+0.000')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def p_value(p: float) -> str:
    """Return ``0.012``, ``<0.001``, a dash where there is none.

    >>> p_value(0.0123), p_value(0.0001), p_value(0.04998), p_value(1.0)
    ('0.012', '<0.001', '0.04998', '1.000')
    """
    if math.isnan(p):
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.{_digits_beside(0.05, p, 3)}f}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share (0 to 1) in percent, a dash where there is none.

    >>> percent(0.1139), percent(0.5, 0)
    ('11.4 %', '50 %')
    """
    return MISSING if pd.isna(share) else f"{100 * share:.{digits}f} %"


def figure_strategies(names: Iterable[str], strategy: str) -> list[str]:
    """Return the strategies that figures of many countries show: of networks one, every other
    learner.

    >>> figure_strategies(["fedavg", "fedprox", "logistic", "fedavg"], "fedavg")
    ['fedavg', 'logistic']
    """
    wanted = [name for name in names if name == strategy or learner_of(name) != "network"]
    return list(dict.fromkeys(wanted))


def paradigms_in_order(table: pd.DataFrame) -> list[str]:
    """Return the distinct paradigms of a table in the order of the tables."""
    return sorted(table["paradigm"].unique(), key=lambda name: model_key(name, ""))


def rows_by(table: pd.DataFrame, *columns: str) -> Mapping[tuple[str, ...], Row]:
    """Return the rows of a table by some columns; a row that is not there holds NaN alone."""
    found: defaultdict[tuple[str, ...], Row] = defaultdict(lambda: defaultdict(lambda: math.nan))
    found.update({tuple(row[name] for name in columns): row for row in table.to_dict("records")})
    return found


def model_rows(
    models: Iterable[tuple[str, str]], cells: Callable[[tuple[str, str]], Mapping[str, str]]
) -> pd.DataFrame:
    """Return a table of text cells with one row per model: its name, then its cells."""
    return pd.DataFrame(
        [{"Model": model_name(*model), **cells(model)} for model in models], dtype="str"
    )


def published_choices(protocol: Mapping[str, object]) -> list[str]:
    """Return the published choices that a protocol makes, in words.

    >>> published_choices({"split_unit": "episode", "proximal_term": True})
    ['episodes split at random, not patients']
    """
    return [words for name, (value, words) in PUBLISHED.items() if protocol.get(name) == value]


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of text cells in GitHub's Markdown, the first column flush left.

    >>> print(to_markdown(pd.DataFrame({"Model": ["Local"], "ROC-AUC": ["0.7"]})))
    | Model | ROC-AUC |
    |:------|--------:|
    | Local |     0.7 |
    """
    rows = [table.columns, *table.to_numpy()]
    texts = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *(len(row[i]) for row in texts)) for i in range(len(table.columns))]

    def line(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return f"| {' | '.join(cells)} |"

    rule = "|".join([":" + "-" * (widths[0] + 1), *("-" * (w + 1) + ":" for w in widths[1:])])
    return "\n".join([line(texts[0]), f"|{rule}|", *(line(row) for row in texts[1:])])


def markdown_text(line: str) -> str:
    r"""Return a sentence for a Markdown page, which shows its names as they are.

    >>> print(markdown_text("Site <b> of A_B_C"))
    Site \<b\> of A\_B\_C
    """
    return re.sub(r"([\\`*_\[\]<>~&|#])", r"\\\1", line)
