"""What counts as another result: any bit of a prediction, any twelfth digit of a table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

import golden


def test_a_change_of_the_thirteenth_digit_is_none_and_of_the_eleventh_is_one() -> None:
    kept = {"table": {"rows": 2, "texts": "ab", "value": [0, 3.0, 5.0]}}

    def changed(by: float) -> list[str]:
        return golden.other_values(
            kept, {"table": {"rows": 2, "texts": "ab", "value": [0, 3.0, 5.0 * (1 + by)]}}
        )

    assert changed(1e-13) == []
    assert changed(1e-11) == ["table: value: [0, 3.0, 5.00000000005], and it was [0, 3.0, 5.0]"]
    assert golden.other_values(kept, {}) == [f"table: None, and it was {kept['table']}"]


def test_a_bit_a_name_and_an_order_change_a_digest() -> None:
    arrays = {"a": np.arange(3, dtype=np.float32), "stamp": np.zeros(2)}
    digests = {
        golden.digest_of_arrays(changed)
        for changed in (
            arrays,
            {"b": arrays["a"]},
            {"a": np.nextafter(arrays["a"], np.float32(9))},
            {"a": arrays["a"].astype(np.float64)},
        )
    }
    assert len(digests) == 4
    assert golden.digest_of_arrays(arrays | {"stamp": np.ones(2)}) in digests
    table = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    first = golden.digest_of_table(table)
    assert first != golden.digest_of_table(table.iloc[::-1])
    assert first != golden.digest_of_table(table.rename(columns={"x": "z"}))
    assert first == golden.digest_of_table(table.copy())


def test_the_kept_digests_are_of_the_whole_study() -> None:
    kept = json.loads(golden.GOLDEN.read_text(encoding="utf-8"))
    assert kept.keys() == {"machine", *golden.KINDS}
    assert len(kept["predictions"]) == len(kept["models"]) == 17
    assert len(kept["sites"]) == 3 * 3 * 2 + 4
