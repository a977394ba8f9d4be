"""Days that a file names by another one: a relapse by the days since it at a visit."""

import pandas as pd

from ms_pfl.names import folded
from ms_pfl.registry.contract import CONTRACT, Column
from ms_pfl.registry.ingest.cells import MISSING, as_text
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.dates import DateRules
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.refusals import Origin
from ms_pfl.registry.ingest.report import IngestReport

_MOST_DAYS = 36525


def with_counted_days(
    name: str,
    frame: pd.DataFrame,
    origin: Origin,
    report: IngestReport,
    parameters: IngestParameters,
) -> pd.DataFrame:
    """Return a table with a column for each date of ``ingest.days_from``.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read.
        origin: for messages.
        report: takes note of the columns, and of what they lack.
        parameters: name the columns that hold a date and the days from it, whole or not: the
            nearest day is meant, as :func:`ms_pfl.registry.importers.msoutcomes.convert` takes it.
    """
    added: dict[str, pd.Series] = {}
    words = {word.upper() for word in parameters.missing_words()}
    for target, source in parameters.days_from_of(name).items():
        at = {folded(str(column)): i for i, column in enumerate(frame.columns)}
        absent = [one for one in (source.date, source.days) if folded(one) not in at]
        if absent:
            report.refuse_table(
                "column_absent",
                f"{origin.label} has no column {absent[0]}, which ingest.days_from.{name}.{target} "
                "names; correct the setting",
                name,
                absent[0],
            )
            continue
        column = next(one for one in CONTRACT[name] if one.name == target)
        cells = {
            one: frame.iloc[:, at[folded(one)]].reset_index(drop=True).rename(one)
            for one in (source.date, source.days)
        }
        cells = {
            one: raw.mask(as_text(raw, (*MISSING, *words), normalized=False).isna())
            for one, raw in cells.items()
        }
        index = pd.RangeIndex(len(frame))
        day = read_column(
            cells[source.date], Column(source.date, "date", earliest_year=column.earliest_year),
            index, origin, report.refuse, report.count,
            DateRules(parameters.date_format_of(name, target), time_zone=parameters.time_zone),
        )  # fmt: skip
        days = read_column(
            cells[source.days], Column(source.days, "number", low=-_MOST_DAYS, high=_MOST_DAYS),
            index, origin, report.refuse, report.count,
        )  # fmt: skip
        meant = day + pd.to_timedelta(days.round(), unit="D")
        added[target] = meant.astype("datetime64[us]")
        report.count(
            "counted_day", meant.notna(), cells[source.days], origin,
            f"read as days from {source.date} to {target}",
        )  # fmt: skip
    return frame.reset_index(drop=True).assign(**added) if added else frame
