"""The sections of the report, one row each: the page, its table of contents, the inputs of the node
that writes it and the datasets of its figures follow from the rows, which are read when they are
needed.

To add a section, write a module with a function that builds it, and add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ms_pfl.reporting.content import About, Content


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        name: its anchor on the page.
        title: with ``{site}``, ``{sites}`` and ``{Sites}`` for what the data call them.
        build: ``module:function``, imported when the page is made, or the function itself. It takes
            an ``About`` and the datasets of ``needs`` by name, and returns the content, or None
            where there is nothing to show.
        needs: datasets that it is made from; ``history`` holds the history of all trainings.
        figures: names of the figures that it draws, each the dataset ``figure_<name>``; a figure
            that is not among its content has no file.
        extra: whether a pipeline of its own makes its datasets; the report of other runs leaves
            it out.
    """

    name: str
    title: str
    build: str | Callable[..., Content | None]
    needs: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    extra: bool = False

    def content(self, about: About, given: dict[str, Any]) -> Content | None:
        """Build the section from ``needs`` among the given datasets."""
        build: Callable[..., Content | None] = (
            resolve_name(self.build) if isinstance(self.build, str) else self.build
        )
        return build(about, **{name: given[name] for name in self.needs})


#: Datasets that every report needs, whatever its sections.
ALWAYS = ("cohort_description", "summary", "headline", "episodes", "parameters")
_HERE = "ms_pfl.reporting"
_STUDIES = "ms_pfl.studies"
# In the order of the page.
SECTIONS = [
    Section(
        "answer",
        "All trainings, and what each gains",
        f"{_HERE}.answer:answer",
        needs=("estimates", "differences"),
        figures=("all_trainings",),
    ),
    Section(
        "your_site",
        "Your {site}",
        f"{_HERE}.your_site:your_site",
        needs=("differences",),
    ),
    Section(
        "discrimination",
        "Table 1. Discrimination on the test split",
        f"{_HERE}.table1:discrimination",
        needs=("summary", "table1", "table1_notes"),
    ),
    Section(
        "gains",
        "Table 2. What each paradigm gains",
        f"{_HERE}.gains:gains",
        needs=("differences",),
    ),
    Section(
        "choice",
        "Which paradigm serves which {site}",
        f"{_HERE}.gains:choice",
        needs=("differences", "further_country"),
        figures=("gain_by_country",),
    ),
    Section(
        "further_site",
        "What to expect in a further {site}",
        f"{_HERE}.further:section",
        needs=("further_country",),
        figures=("further_country",),
    ),
    Section(
        "site_size",
        "How many patients a {site} needs",
        f"{_HERE}.site_size:site_size",
        needs=("differences",),
        figures=("gain_by_size",),
    ),
    Section(
        "calibration",
        "Table 3. Calibration",
        f"{_HERE}.calibration:calibration",
        needs=("estimates", "reliability", "risk_distribution"),
        figures=("reliability", "risk_distribution"),
    ),
    Section(
        "curves",
        "ROC and precision-recall curves",
        f"{_HERE}.curves:curves",
        needs=("operating_curves", "coverage"),
        figures=("roc_and_pr",),
    ),
    Section(
        "decisions",
        "Decision curve analysis (net benefit)",
        f"{_HERE}.curves:decisions",
        needs=("net_benefit",),
        figures=("net_benefit",),
    ),
    Section(
        "fairness",
        "Table 4. Performance across {sites} (fairness)",
        f"{_HERE}.sites:fairness",
        needs=("fairness",),
    ),
    Section(
        "subgroups",
        "Subgroups",
        f"{_HERE}.sites:subgroups",
        needs=("subgroup_metrics",),
    ),
    Section(
        "attribution",
        "Feature importance",
        f"{_STUDIES}.attribution.show:section",
        needs=("importance", "attribution_by_country"),
        figures=("importance",),
    ),
    Section(
        "coefficients",
        "Odds ratios of the logistic regression",
        f"{_STUDIES}.coefficients.show:section",
        needs=("odds_ratios", "shape_curves", "site_intercepts", "cohort_description"),
        figures=("odds_ratios", "shape_curves"),
        extra=True,
    ),
    Section(
        "unseen_site",
        "A {site} that never took part",
        f"{_STUDIES}.unseen_site.show:section",
        needs=("new_country_estimates", "new_country_differences"),
        figures=("new_country",),
        extra=True,
    ),
    Section(
        "sites",
        "{Sites}",
        f"{_HERE}.sites:sites",
        needs=("roc_auc_by_country",),
        figures=("country_sizes",),
    ),
    Section(
        "learning_curves",
        "Learning curves",
        f"{_HERE}.curves:learning",
        needs=("history",),
        figures=("learning_curves",),
    ),
    Section(
        "traffic",
        "Communication",
        f"{_HERE}.curves:traffic",
        needs=("history",),
    ),
    Section(
        "flow",
        "Participant flow",
        f"{_HERE}.attrition:flow",
        needs=("cohort_description", "flow_figures"),
    ),
    Section(
        "prevalence",
        "Prevalence under the other outcomes",
        f"{_HERE}.attrition:prevalence",
        needs=("cohort_description",),
    ),
    Section(
        "tripod",
        "TRIPOD+AI",
        f"{_HERE}.made:tripod",
        needs=("coverage",),
    ),
    Section(
        "checklists",
        "TRIPOD-Cluster and PROBAST+AI",
        f"{_HERE}.checklists:checklists",
        needs=("coverage",),
    ),
    Section(
        "paper",
        "For a paper: methods, model card, citation",
        f"{_HERE}.paper:paper",
        needs=("summary", "coverage"),
    ),
    Section(
        "run",
        "How to repeat the run",
        f"{_HERE}.made:run",
    ),
]


def shown(*extra: str) -> list[Section]:
    """Return the sections of a report: all but the extra ones, of which some are wanted by name."""
    return [row for row in SECTIONS if not row.extra or row.name in extra]


def made_from(datasets: Container[str]) -> list[Section]:
    """Return the sections whose datasets are there."""
    return [row for row in SECTIONS if all(name in datasets for name in row.needs)]
