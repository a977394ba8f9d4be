"""Table 1 on the console."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


class ConsoleTable:
    """Table 1 and its notes as something ``rich`` can print.

    Where the console is wide enough (100 characters for two metrics) the metrics stand side by
    side; a narrower one (80 without a terminal) gets one table a metric: no cell is ever cut.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        notes: Sequence[str],
        title: str = "Table 1. Test performance",
    ) -> None:
        """Keep what is to be shown; nothing is laid out before the width is known.

        Args:
            table: the table of :func:`ms_pfl.reporting.table1.table1`.
            notes: the sentences of :func:`ms_pfl.reporting.notes.notes`.
            title: the line above.
        """
        self.table, self.notes, self.title = table, notes, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, table or tables, and notes."""

        yield Text()
        yield Text(self.title, style="bold")
        side_by_side = self._rich_table(list(self.table.columns[1:]))
        needed = Measurement.get(console, options.update(max_width=1000), side_by_side).maximum
        for table in (
            [side_by_side] if needed <= options.max_width else map(self._rich_table, self._groups())
        ):
            yield table
            yield Text()
        for note in self.notes:
            yield Text(note)

    def _groups(self) -> list[list[str]]:
        """Return the columns of each metric."""
        columns = groupby(self.table.columns[1:], key=lambda name: name.rsplit(" ", 1)[0])
        return [list(names) for _, names in columns]

    def _rich_table(self, names: list[str]) -> Table:

        rich_table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        rich_table.add_column("Model", no_wrap=True)
        for name in names:
            head = "\n".join(name.rsplit(" ", 1)).replace("size-", "size-\n")
            rich_table.add_column(Text(head), justify="right", no_wrap=True)
        for row in self.table[["Model", *names]].itertuples(index=False, name=None):
            # ".812" instead of "0.812": the six columns of the study fit 100 characters
            rich_table.add_row(row[0], *(re.sub(r"\b0\.", ".", cell) for cell in row[1:]))
        return rich_table
