"""A Parquet file is a table or one line, whatever its index and its bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ms_pfl.registry.ingest.refusals import UnusableFile
from ms_pfl.registry.ingest.table_files import read_parquet

FRAME = pd.DataFrame({"site": ["A", "B"], "visit": [1, 2], "age": [61.5, None]})


def test_named_levels_of_an_index_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    FRAME.set_index(["site", "visit"]).to_parquet(path)
    pd.testing.assert_frame_equal(read_parquet(path), FRAME)
    FRAME.set_index("site").to_parquet(path)
    pd.testing.assert_frame_equal(read_parquet(path), FRAME)
    # a level without a name only numbers the rows, wherever it stands
    FRAME.set_index([pd.Index([7, 9]), "site"]).to_parquet(path)
    pd.testing.assert_frame_equal(read_parquet(path), FRAME)
    FRAME.set_axis([7, 9]).to_parquet(path)
    pd.testing.assert_frame_equal(read_parquet(path), FRAME)


def test_an_index_called_what_a_column_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    FRAME.set_index("site", drop=False).to_parquet(path)
    with pytest.raises(UnusableFile) as caught:
        read_parquet(path)
    assert str(caught.value) == (f"{path} has an index and a column named site; keep one of them")
    assert caught.value.rule == "column_twice"


def test_cells_that_are_no_single_value_are_their_text(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pd.DataFrame({"a": [b"x", b"y"], "b": [[1, 2], [3]], "c": [{"k": 1}, {"k": 2}]}).to_parquet(
        path
    )
    read = read_parquet(path)
    assert read["a"].tolist() == ["b'x'", "b'y'"]
    assert read["b"].tolist() == ["[1 2]", "[3]"]
    assert read["c"].tolist() == ["{'k': 1}", "{'k': 2}"]


def test_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    FRAME.assign(site=["Genève", "Oslo"]).to_parquet(path, compression=None, index=False)
    path.write_bytes(path.read_bytes().replace("è".encode(), b"e\xff"))
    with pytest.raises(UnusableFile, match=r"is no readable parquet file \(.*UTF8.*\); write it"):
        read_parquet(path)


def test_flipped_bytes_are_one_line_or_a_table(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    FRAME.set_index("site").to_parquet(path)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(0)
    said = []
    for _ in range(400):
        broken = whole.copy()
        broken[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(broken.tobytes())
        try:
            for _, cells in read_parquet(path).items():
                cells.astype("str")
        except UnusableFile as error:
            said.append(str(error))
    assert len(said) > 100
    assert all(line.startswith(f"{path} ") and "\n" not in line for line in said)
