"""Digests of what a run has left, so that a rebuild can be told from a change of results.

``python tests/support/golden.py predictions|models|tables FOLDER`` prints them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

_STAMPS = ("stamp", "format")


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """A digest of named arrays, bit by bit, without the stamps of a version."""
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        if name not in _STAMPS:
            digest.update(f"{name}\x1f{array.dtype}\x1f{array.shape}\x1f".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def digest_of_table(table: pd.DataFrame) -> str:
    """A digest of a table, bit by bit."""
    rows = pd.util.hash_pandas_object(table, index=False).to_numpy()
    names = "\x1f".join(table.columns).encode()
    return hashlib.blake2b(names + rows.tobytes(), digest_size=16).hexdigest()


def predictions(folder: Path) -> dict[str, str]:
    """Digests of the predictions of every training of a project."""
    paths = sorted((folder / "data/07_model_output").glob("*/*/predictions.parquet"))
    return {f"{p.parts[-3]}.{p.parts[-2]}": digest_of_table(pd.read_parquet(p)) for p in paths}


def models(folder: Path) -> dict[str, str]:
    """Digests of the models of every training of a project."""
    paths = sorted((folder / "data/06_models").glob("*/*/models.safetensors"))
    return {f"{p.parts[-3]}.{p.parts[-2]}": digest_of_arrays(load_file(p)) for p in paths}


def tables(folder: Path) -> dict[str, dict[str, Any]]:
    """What the result tables hold: rows, texts as a digest, and two sums of each number column.

    The second sum is weighted by the place of the row, so that exchanged values change it.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "data/08_reporting").glob("*.*")):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix == ".csv":
            table = pd.read_csv(path, keep_default_na=False)
        else:
            continue
        told: dict[str, Any] = {"rows": len(table)}
        texts = table.select_dtypes(exclude="number").astype("str")
        told["texts"] = digest_of_table(texts)
        for name in table.select_dtypes(include="number"):
            values = table[name].to_numpy(np.float64)
            missing = int(np.isnan(values).sum())
            place = np.arange(1, len(values) + 1)
            told[name] = [missing, float(np.nansum(values)), float(np.nansum(values * place))]
        found[path.name] = told
    return found


def sites(folder: Path) -> dict[str, str]:
    """Digests of what three sites and their server hold after a demonstration."""
    found = {}
    for path in sorted(folder.glob("sites/*/*/*.seed=*")) + sorted(folder.glob("server/*/*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            found[name] = digest_of_arrays(load_file(path))
        elif path.suffix == ".parquet":
            found[name] = digest_of_table(pd.read_parquet(path))
        elif path.name == "metrics.csv":
            found[name] = digest_of_table(pd.read_csv(path))
    return found


KINDS = {"predictions": predictions, "models": models, "tables": tables, "sites": sites}

if __name__ == "__main__":
    print(json.dumps(KINDS[sys.argv[1]](Path(sys.argv[2])), indent=1))
