"""What a registry looks like beside the published figures that the synthetic one is built from.

``python -m ms_pfl.registry.synthetic_summary FILE`` simulates with the parameters under
``synthetic_registry`` in a YAML file and prints the table of ``docs/synthetic-registry.md``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import FUNCTIONAL_SYSTEMS
from ms_pfl.registry.parameters import SyntheticRegistryParameters
from ms_pfl.registry.tables import RegistryTables

# EDSS by years since onset: Roxburgh 2005, Manouchehrinia 2017 (a treated cohort sits nearer it).
_BY_DURATION = {
    1: (1.99, 2.11),
    5: (3.01, 2.74),
    10: (4.07, 3.56),
    15: (4.74, 4.07),
    20: (5.37, 4.67),
    30: (5.80, 5.54),
}
_KFS_TARGET = (0.90, 0.61, 0.44, 0.37, 0.70, 0.50, 0.56, 0.95)
_KFS_LABEL = (
    "pyramidal",
    "cerebellar",
    "brainstem",
    "sensory",
    "bowel and bladder",
    "visual",
    "cerebral",
    "ambulation",
)


def _annual_pairs(visits: pd.DataFrame, relapses: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """EDSS change to the visit nearest to a year on (300-430 days), and whether a relapse fell
    in between."""
    left = visits[["PATIENT_ID", "DATE_OF_VISIT", "EDSS"]].sort_values("DATE_OF_VISIT")
    wanted = left.assign(then=left["DATE_OF_VISIT"] + pd.Timedelta(days=365))
    right = left.rename(columns={"DATE_OF_VISIT": "later", "EDSS": "EDSS_later"})
    pairs = pd.merge_asof(
        wanted.sort_values("then"),
        right.sort_values("later"),
        left_on="then",
        right_on="later",
        by="PATIENT_ID",
        direction="nearest",
        tolerance=pd.Timedelta(days=65),
    ).dropna(subset=["later"])
    onsets = relapses[["PATIENT_ID", "DATE_OF_ONSET"]].sort_values("DATE_OF_ONSET")
    last = pd.merge_asof(
        pairs.sort_values("later"),
        onsets,
        left_on="later",
        right_on="DATE_OF_ONSET",
        by="PATIENT_ID",
    )
    return last["EDSS_later"] - last["EDSS"], last["DATE_OF_ONSET"] > last["DATE_OF_VISIT"]


def _years(later: pd.Series, earlier: pd.Series) -> pd.Series:
    return (later - earlier).dt.total_seconds() / (365.25 * 86_400)


def summarize(tables: RegistryTables) -> pd.DataFrame:
    """Figures of a registry beside the published ones.

    Args:
        tables: canonical tables with all columns.

    Returns:
        One row a figure: ``figure`` (in words), ``published`` (text), ``measured`` (float).
    """
    patients, relapses = tables.patients, tables.relapses
    visits = tables.visits.merge(patients, on="PATIENT_ID", validate="many_to_one")
    visits = visits.sort_values(["PATIENT_ID", "DATE_OF_VISIT"], kind="stable")
    visits["duration"] = _years(visits["DATE_OF_VISIT"], visits["MS_ONSET_DATE"])
    visits["age"] = _years(visits["DATE_OF_VISIT"], visits["BIRTH_DATE"])
    first = visits.drop_duplicates("PATIENT_ID")
    groups = visits.groupby("PATIENT_ID")["DATE_OF_VISIT"]
    entry, span = groups.min(), _years(groups.max(), groups.min())
    since_entry = relapses["DATE_OF_ONSET"] > relapses["PATIENT_ID"].map(entry)
    gaps = groups.diff().dropna().dt.days
    change, with_relapse = _annual_pairs(visits, relapses)
    still, struck = change[~with_relapse], change[with_relapse]
    course = first["MSCOURSE_AT_VISIT"].dropna()

    rows: list[tuple[str, str, float]] = [
        ("Female, share", ".71-.75", (patients["gender"].dropna() == "F").mean()),
        ("Age at first visit, mean (years)", "36.3", first["age"].mean()),
        ("Age at first visit, sd", "10.5", first["age"].std()),
        ("Disease duration at first visit, mean (years)", "6.2", first["duration"].mean()),
        ("Disease duration at first visit, sd", "6.8", first["duration"].std()),
        ("EDSS at first visit, mean", "2.12", first["EDSS"].mean()),
        ("EDSS at first visit, sd", "1.50", first["EDSS"].std()),
        ("RR or CIS at first visit, share", ".86", course.isin(["RR", "CIS"]).mean()),
        ("PP or PR at first visit, share", ".09", course.isin(["PP", "PR"]).mean()),
        ("First to last visit, mean (years)", "about 6", span.mean()),
        ("Visits a person-year", "1.4", (len(visits) - len(span)) / span.sum()),
        ("Gap between visits, median (days)", "about 180", gaps.median()),
        ("Relapses a person-year in the registry", ".2-.6", since_entry.sum() / span.sum()),
    ]
    for year, (roxburgh, manouchehrinia) in _BY_DURATION.items():
        near = (visits["duration"] - year).abs() < (0.5 if year < 30 else 1.5)
        rows.append(
            (
                f"EDSS {year} years after onset, mean",
                f"{roxburgh:.2f} / {manouchehrinia:.2f}",
                visits.loc[near, "EDSS"].mean(),
            )
        )
    rows += [
        ("Annual change without relapse, mean", "-.05", still.mean()),
        ("Annual change without relapse, sd", ".58", still.std()),
        ("Annual change without relapse, unchanged", ".70", (still == 0).mean()),
        ("Annual change without relapse, up >= 1", ".058", (still >= 1).mean()),
        ("Annual change with a relapse, mean", ".26", struck.mean()),
        ("Annual change with a relapse, up >= 1", ".188", (struck >= 1).mean()),
    ]
    rows += [
        (f"Correlation with EDSS, {label}", f"{target:.2f}", visits[name].corr(visits["EDSS"]))
        for name, label, target in zip(FUNCTIONAL_SYSTEMS, _KFS_LABEL, _KFS_TARGET, strict=True)
    ]
    rows.append(("Functional systems missing, share", ".10-.15", visits["KFS_1"].isna().mean()))
    frame = pd.DataFrame(rows, columns=["figure", "published", "measured"])
    return frame.astype({"measured": np.float64})


def _read_parameters(file: Path) -> SyntheticRegistryParameters:
    import yaml

    if not file.is_file():
        raise InputError(f"{file} is no file; name the YAML file with synthetic_registry in it")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "synthetic_registry" not in content:
        raise InputError(f"{file} has no key synthetic_registry; name the file that has it")
    return SyntheticRegistryParameters.model_validate(content["synthetic_registry"])


def main(arguments: list[str] | None = None) -> int:
    """Simulate with the parameters of a YAML file and print the table."""
    from ms_pfl.registry.synthetic import simulate

    parser = argparse.ArgumentParser(prog="python -m ms_pfl.registry.synthetic_summary")
    parser.add_argument("file", type=Path, help="YAML file with the key synthetic_registry")
    try:
        parameters = _read_parameters(parser.parse_args(arguments).file)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    table = summarize(simulate(parameters))
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
