"""Tables in Markdown."""

from __future__ import annotations

import pandas as pd

from ms_pfl.reporting.words import to_markdown


def test_markdown_is_aligned_and_escapes_bars() -> None:
    table = pd.DataFrame({"Model": ["a|b", "c"], "X": ["1", "22.5"]})
    assert to_markdown(table).splitlines() == [
        "| Model |    X |",
        "|:------|-----:|",
        "| a\\|b  |    1 |",
        "| c     | 22.5 |",
    ]
