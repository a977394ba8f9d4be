"""Digests of what a run has left, so that a change of code can be told from a change of results.

``python tests/support/golden.py predictions|models|tables|sites|report FOLDER`` prints them.
``python tests/support/golden.py write SMOKE SITES`` writes ``golden.json`` again, from a finished
project of ``kedro run --env=smoke`` and from what ``deploy/demo.py --keep`` has left: only where
results are meant to change. The digests are of AVX2; a processor with AVX-512 comes to them too
with ``ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2
NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL"`` (NumPy's ``exp`` differs in the last bit).
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from report_text import report_parts

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-12
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


def secret_of(country: str) -> bytes:
    """The secret of a site whose digests are kept: its splits depend on it."""
    return hashlib.sha256(country.encode()).digest()


def sites(folder: Path) -> dict[str, str]:
    """Digests of what three sites and their server hold after a demonstration.

    The sites' secrets have to be those of :func:`secret_of`. Runs are left out of the names: they
    depend on the version of the software.
    """
    found = {}
    paths = [(p, f"sites/{p.parts[-5]}/{p.parts[-2]}/{p.name}")
             for p in folder.glob("sites/*/runs/*/*/*.seed=*")]  # fmt: skip
    paths += [(p, p.relative_to(folder).as_posix()) for p in folder.glob("server/*/*")]
    for path, name in sorted(paths, key=lambda pair: pair[1]):
        if path.suffix == ".safetensors":
            found[name] = digest_of_arrays(load_file(path))
        elif path.suffix == ".parquet":
            found[name] = digest_of_table(pd.read_parquet(path))
        elif path.name == "metrics.csv":
            found[name] = digest_of_table(pd.read_csv(path))
    return found


def report(folder: Path) -> list[str]:
    """What the report of a project says, in whatever order."""
    return sorted(report_parts(folder / "data/08_reporting/report.html"))


def machine() -> dict[str, str]:
    """What the last bits of a float32 depend on, besides the code."""
    import torch

    return {
        "processor": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def other_values(golden: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Names of what is not as it was: texts and counts exactly, numbers to 1e-12 of their size."""
    differ = []
    for name, value in golden.items():
        now = found.get(name)
        if isinstance(value, list) and isinstance(now, list) and len(value) == len(now):
            pairs = zip(value, now, strict=True)
            if all(math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for a, b in pairs):
                continue
        elif isinstance(value, dict) and isinstance(now, dict):
            differ += [f"{name}: {inner}" for inner in other_values(value, now)]
            continue
        elif value == now:
            continue
        differ.append(f"{name}: {now}, and it was {value}")
    return differ


KINDS: dict[str, Callable[[Path], Any]] = {
    "predictions": predictions,
    "models": models,
    "tables": tables,
    "sites": sites,
    "report": report,
}


def main(kind: str, *folders: str) -> None:
    """Print one kind of digest, or write them all."""
    if kind != "write":
        print(json.dumps(KINDS[kind](Path(folders[0])), indent=1))
        return
    smoke, demonstration = map(Path, folders)
    told: dict[str, Any] = {"machine": machine()}
    for name, function in KINDS.items():
        told[name] = function(demonstration if name == "sites" else smoke)
    text = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
