"""How long a registry's files take to read: contract tables, and files of other programs.

``python benchmarks/reading.py`` writes 100,000 visits of the synthetic registry's form as CSV,
Parquet, Excel, SPSS and Stata files, and prints the seconds that reading and checking each takes
(wall and processor; each the best of ``--turns``). With ``--against SRC``, the folder src of
another version, both versions read the contract tables (CSV, Parquet) in turns, each in a process
of its own, and the ratio of their best times is printed: above 1, this version is slower.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

SRC = Path(__file__).resolve().parents[1] / "src"
CONTRACT_KINDS = ("csv", "parquet")
_READ = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
from pathlib import Path
from ms_pfl.registry.ingest.tables import ingest
ingest(Path(sys.argv[2]))  # imports, and whatever is set up once
found = []
for folder in sys.argv[1].split(","):
    wall, cpu = time.perf_counter(), time.process_time()
    tables, _ = ingest(Path(folder))
    found.append((time.perf_counter() - wall, time.process_time() - cpu, len(tables.visits)))
print(json.dumps(found))
"""


def registry(visits: int) -> dict[str, pd.DataFrame]:
    """Return four tables in contract columns; the same ones for the same size."""
    random = np.random.default_rng(0)
    people = visits // 20
    ids = np.array([f"P{number:07d}" for number in range(people)])
    of = np.repeat(ids, 20)[:visits]
    first = np.datetime64("2001-01-01") + random.integers(0, 3000, people)
    days = np.repeat(first, 20)[:visits] + np.tile(np.arange(20) * 182, people)[:visits]
    scores = {
        f"KFS_{number}": random.integers(0, 5, visits).astype("float64") for number in range(1, 8)
    }
    edss = random.integers(2, 14, visits) / 2
    return {
        "patients": pd.DataFrame(
            {"PATIENT_ID": ids, "country": "Belgium", "gender": random.choice(["F", "M"], people),
             "BIRTH_DATE": np.datetime64("1970-01-01") + random.integers(0, 3000, people)}
        ),
        "visits": pd.DataFrame(
            {"PATIENT_ID": of, "DATE_OF_VISIT": days, "EDSS": edss, **scores,
             "MSCOURSE_AT_VISIT": random.choice(["RR", "SP"], visits)}
        ),
        "relapses": pd.DataFrame({"PATIENT_ID": ids, "DATE_OF_ONSET": first}),
        "treatments": pd.DataFrame(
            {"PATIENT_ID": ids, "dmt": "natalizumab", "START_DATE": first, "END_DATE": first + 900}
        ),
    }  # fmt: skip


def write(tables: dict[str, pd.DataFrame], folder: Path, kind: str) -> Path:
    """Write the tables as files of one kind."""
    folder.mkdir()
    for name, table in tables.items():
        path = folder / f"{name}.{kind}"
        if kind == "csv":
            table.to_csv(path, index=False)
        elif kind == "parquet":
            table.to_parquet(path)
        elif kind == "xlsx":
            table.to_excel(path, index=False)
        else:
            import pyreadstat

            dated = table.apply(lambda cells: cells.dt.date if cells.dtype.kind == "M" else cells)
            getattr(pyreadstat, f"write_{kind}")(dated, str(path))
    return folder


def seconds(source: Path, folders: list[Path], small: Path) -> list[list[float]]:
    """Return wall seconds, processor seconds and visits of each folder, read by one version."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, ",".join(map(str, folders)), str(small)],
        env={"PYTHONPATH": str(source), "PATH": "", "HOME": str(folders[0])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write, read and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--against", type=Path, help="folder src of another version")
    options = parser.parse_args(arguments)
    kinds = CONTRACT_KINDS if options.against else (*CONTRACT_KINDS, "xlsx", "sav", "dta")
    tables = registry(options.visits)
    with tempfile.TemporaryDirectory() as name:
        small = write(registry(200), Path(name) / "small", "csv")
        folders = [write(tables, Path(name) / kind, kind) for kind in kinds]
        sources = [SRC] + ([options.against] if options.against else [])
        best: dict[Path, np.ndarray] = {}
        for _ in range(options.turns):
            for source in sources:
                found = np.array(seconds(source, folders, small))
                assert (found[:, 2] == options.visits).all()
                best[source] = np.minimum(best.get(source, found), found)
    for row, kind in enumerate(kinds):
        wall, processor = best[SRC][row, :2]
        text = f"{kind:8} {wall:7.2f} s wall {processor:7.2f} s processor"
        if options.against:
            ratio = best[SRC][row, :2] / best[options.against][row, :2]
            text += f"   ratio {ratio[0]:.2f} wall, {ratio[1]:.2f} processor"
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
