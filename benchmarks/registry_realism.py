"""The synthetic registry beside the published figures: the table of docs/synthetic-registry.md.

``python benchmarks/registry_realism.py`` simulates the registry of conf/base, with its knobs and
with all of them at 0, labels its episodes, and prints *target / achieved*; ``--write`` puts the
table into the documentation. The exit status is 1 where a figure is outside its tolerance.
``--env`` takes another folder of conf/, and ``--seeds`` prints what is outside with other seeds.
"""

from __future__ import annotations

import argparse

import pandas as pd

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.registry.ingest.tables import RegistryTables
from ms_pfl.registry.synthetic.parameters import Heterogeneity, SyntheticRegistryParameters
from ms_pfl.registry.synthetic.simulation import second_ratings, simulate
from realism.between_countries import Between, between_countries
from realism.summary import measure, rater_agreement
from realism.targets import BETWEEN_TARGETS, TARGETS
from support import PROJECT, read_parameters

PAGE = PROJECT / "docs" / "synthetic-registry.md"
BEGIN, END = "<!-- realism: begin -->", "<!-- realism: end -->"
# A country whose prevalence says something: patients in the cohort.
LARGER_COUNTRY = 100


def cohort_figures(episodes: pd.DataFrame) -> dict[str, float]:
    """Return the figures of ``COHORT_TARGETS``, from the episodes table."""
    countries = episodes.groupby("country").agg(
        prevalence=("label", "mean"), patients=("patient_id", "nunique")
    )
    larger = countries["patients"] >= LARGER_COUNTRY
    return {
        "Confirmed worsening at two years, share": episodes["label"].mean(),
        "Its sd over larger countries": countries.loc[larger, "prevalence"].std(),
        "Episodes a cohort patient": len(episodes) / countries["patients"].sum(),
    }


def achieved(
    tables: RegistryTables, episodes: pd.DataFrame, parameters: SyntheticRegistryParameters
) -> dict[str, float]:
    """Every figure of one simulated registry that its own people tell: all but those between."""
    agreement = rater_agreement(tables.visits["EDSS"], second_ratings(parameters))
    return measure(tables) | agreement | cohort_figures(episodes)


def between_figures(found: Between) -> dict[str, float]:
    """Return the figures of ``BETWEEN_TARGETS``."""
    values = (found.sd("roc_auc"), found.sd("log_eo"))
    return {target.figure: value for target, value in zip(BETWEEN_TARGETS, values, strict=True)}


def at_zero(parameters: SyntheticRegistryParameters) -> SyntheticRegistryParameters:
    """Return the same registry with all heterogeneity knobs at 0."""
    knobs = Heterogeneity.model_validate(dict.fromkeys(Heterogeneity.model_fields, 0.0))
    return parameters.model_copy(update={"heterogeneity": knobs})


def compare(with_knobs: dict[str, float], without: dict[str, float]) -> pd.DataFrame:
    """Target and achieved figures side by side.

    Args:
        with_knobs: achieved figures of the registry with its heterogeneity.
        without: those with all knobs at 0.

    Returns:
        Columns figure, source, target, tolerance, knobs 1, knobs 0, inside (both are, where a
        figure is not about how countries differ).
    """
    rows = []
    for target in TARGETS:
        one, zero = with_knobs[target.figure], without[target.figure]
        inside = target.holds(one) and (target.only_with_knobs or target.holds(zero))
        rows.append(
            (target.figure, target.source, target.target, target.tolerance, one, zero, inside)
        )
    columns = ["figure", "source", "target", "tolerance", "knobs 1", "knobs 0", "inside"]
    return pd.DataFrame(rows, columns=columns)


def markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown; days and years with one digit, all else with two or three."""

    def text(value: float, target: float) -> str:
        return f"{value:.{1 if target > 25 else 2 if target >= 1 else 3}f}"

    lines = [
        "| figure | source | target | tolerance | achieved, knobs 1 | knobs 0 | inside |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.itertuples(index=False):
        numbers = (text(value, row.target) for value in (row.target, row.tolerance, *row[4:6]))
        target, tolerance, one, zero = numbers
        inside = "yes" if row.inside else "**no**"
        lines.append(
            f"| {row.figure} | {row.source} | {target} | ± {tolerance} | {one} | {zero} "
            f"| {inside} |"
        )
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the table between its two markers in the documentation."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def figures(parameters: SyntheticRegistryParameters, cohort: CohortParameters) -> dict[str, float]:
    """Simulate, label and measure."""
    tables = simulate(parameters)
    episodes = build_episodes(tables, cohort).episodes
    between = between_figures(between_countries(parameters, cohort))
    return achieved(tables, episodes, parameters) | between


def outside(parameters: SyntheticRegistryParameters, cohort: CohortParameters) -> str:
    """Return the figures outside their tolerance, in one line."""
    found = figures(parameters, cohort)
    missed = [target for target in TARGETS if not target.holds(found[target.figure])]
    parts = [f"{t.figure} {found[t.figure]:.3f} ({t.target} ± {t.tolerance})" for t in missed]
    return f"{len(missed)} outside" + (f": {'; '.join(parts)}" if parts else "")


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or write it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(PROJECT)}")
    parser.add_argument("--env", default="base", help="folder of conf/")
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="print what is outside with each seed, with the knobs"
    )
    chosen = parser.parse_args(arguments)
    parameters = read_parameters(chosen.env)
    if chosen.seeds:
        for seed in chosen.seeds:
            registry = parameters.synthetic_registry.model_copy(update={"seed": seed})
            print(f"{chosen.env}, seed {seed}: {outside(registry, parameters.cohort)}", flush=True)
        return 0
    table = compare(
        figures(parameters.synthetic_registry, parameters.cohort),
        figures(at_zero(parameters.synthetic_registry), parameters.cohort),
    )
    text = markdown(table)
    if chosen.write:
        write(text)
    else:
        print(text)
    print(f"{table['inside'].sum()} of {len(table)} figures are inside their tolerance")
    return int(not table["inside"].all())


if __name__ == "__main__":
    raise SystemExit(main())
