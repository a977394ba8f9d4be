"""The registry of the first version, bit by bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.synthetic.simulation import simulate
from support import read_parameters

# Taken before its heterogeneity became settings.
DIGESTS = {
    600: {
        "patients": "77378c65cea51c93d80186d7ec5fd85f84d5509d65a8d8fec426cd031a99ce27",
        "visits": "2612d5a84240f206c1d932c7a2518b0e4549c46502db9d7d5092b8872514aa4b",
        "relapses": "a40300cc9e68a9a563ec307c7276f97140098a0fa101923700ccc9bc60bd44d9",
        "treatments": "1e89583c57d2fa1a21ae84caf5b786704d2c05b3547061857b7c85b550734db3",
    },
    6000: {
        "patients": "d59d2ba329d60e9467ceeab2024c0e338b93941633b7a5bf7f7d3497807fa083",
        "visits": "3cbbe4f6676556476eb0afa63ffac41bf7a6f885840e1a534ffbf76481b1aa46",
        "relapses": "b12ae126f1040ab0554e324c42a4002d80f1fef70993a5c0978d5a53c35a29ad",
        "treatments": "69b267e3db524786ed25e0314c39e0ee697f8a7fb4869194402fe7805021ec44",
    },
}


def digest(table: pd.DataFrame) -> str:
    """SHA-256 of names, types and values, in the order of the table."""
    found = hashlib.sha256()
    for name in table.columns:
        column = table[name]
        found.update(f"{name}\0{column.dtype}\0".encode())
        if column.dtype.kind == "M":
            found.update(column.to_numpy().astype("datetime64[us]").astype("int64").tobytes())
        elif column.dtype.kind == "f":
            found.update(np.ascontiguousarray(column.to_numpy()).tobytes())
        else:
            found.update("\0".join("\1" if pd.isna(x) else x for x in column).encode())
    return found.hexdigest()


@pytest.mark.parametrize("n", list(DIGESTS))
def test_its_tables_are_those_of_before(n: int) -> None:
    registry = read_parameters("first_registry").synthetic_registry
    tables = simulate(registry.model_copy(update={"n_patients": n}))
    assert {name: digest(getattr(tables, name)) for name in CONTRACT} == DIGESTS[n]


def test_it_differs_from_base_in_deviations_alone() -> None:
    base = read_parameters().synthetic_registry.model_dump()
    first = read_parameters("first_registry").synthetic_registry.model_dump()
    assert {name for name in base if base[name] != first[name]} == {"deviations"}
