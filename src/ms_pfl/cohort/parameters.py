"""Typed parameters of the cohort: how registry tables, or a custom table, become episodes.

Outcome rule, eligibility, treatment classes, splits; the columns, outcome and features of a custom
table.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from ms_pfl.config import Section
from ms_pfl.input_files import FileLimits
from ms_pfl.names import normal
from ms_pfl.registry.ingest.parameters import known_encoding, no_blank
from ms_pfl.yaml_text import NAMED_KEYS, Name, YamlLabel, YamlText

#: Of each drug the generic name, then the further names under which registries carry it.
DrugNames = tuple[Annotated[tuple[YamlText, ...], Field(min_length=1)], ...]

Outcome = Literal["state_near_two_years", "first_confirmed_event"]
Rule = Literal["three_strata", "two_strata"]

# ß stands for beta where a keyboard has no Greek letters; neither it nor β survives casefold well.
_BETA = str.maketrans({"β": " beta ", "ϐ": " beta ", "Β": " beta ", "ß": " beta ", "ẞ": " beta "})


def normalize(text: str) -> str:
    """Lower case, words of letters or of digits, one space between them; beta in Latin letters.

    >>> normalize("  IFN-β-1a (REBIF44) ")
    'ifn beta 1 a rebif 44'
    """
    return " ".join(re.findall(r"[^\W\d_]+|\d+", normal(text).translate(_BETA).casefold()))


def closed_up(name: str) -> str:
    """Return a name as it is compared, without the spaces that registries set and leave out.

    >>> closed_up("Dimethyl fumarate")
    'dimethylfumarate'
    """
    return normalize(name).replace(" ", "")


class TreatmentClasses(Section):
    """Efficacy class of each drug; `none` and `trial` hold what is no disease-modifying one."""

    mild: DrugNames = Field(description="platform drugs: DMT_AT_0_Mild")
    moderate: DrugNames = Field(description="DMT_AT_0_Moderate")
    high: DrugNames = Field(description="DMT_AT_0_High")
    high_induction: DrugNames = Field(
        description="induction drugs: DMT_IND_AT_0_High_Induction and no other class"
    )
    none: DrugNames = Field(
        description="steroids and others that are no DMT here; a drug named beside them counts"
    )
    trial: DrugNames = Field(
        description="placebo and words of blinded trials; a drug named beside them does not count"
    )

    @model_validator(mode="after")
    def _one_class_a_name(self) -> Self:
        seen: dict[str, str] = {}
        for efficacy in type(self).model_fields:
            for drug in getattr(self, efficacy):
                for name in {closed_up(word) for word in drug}:
                    if not name:
                        raise ValueError(f"a name of {drug[0]!r} in class {efficacy} is empty")
                    if name in seen:
                        raise ValueError(
                            f"the treatment name {name!r} stands for both {seen[name]!r} and "
                            f"{drug[0]!r}; keep it once"
                        )
                    seen[name] = drug[0]
        return self


class CohortRules(Section):
    """Which visits become episodes, and how their outcome is read. Windows are in days."""

    outcome: Outcome = Field(
        description="state_near_two_years: worse at the EDSS near t0 + horizon, and confirmed; "
        "first_confirmed_event: the first confirmed worsening after t0 begins by the horizon"
    )
    rule: Rule = Field(
        description="increase of EDSS that counts as worsening: three_strata >= 1.5 from 0, >= 1 "
        "from 0.5 to 5.5, >= 0.5 above; two_strata >= 1 up to 5.5, >= 0.5 above"
    )
    observation_window_days: int = Field(
        gt=0, le=36525, description="window that ends at the visit t0, both ends counted"
    )
    minimum_edss: int = Field(
        ge=1, description="days with an EDSS that the observation window must hold, t0 counted"
    )
    horizon_days: int = Field(
        gt=0,
        le=36525,
        description="state_near_two_years: the follow-up EDSS is the one nearest to t0 + this; "
        "first_confirmed_event: a worsening that begins in these days after t0 counts",
    )
    horizon_tolerance_days: int = Field(
        ge=0,
        le=36525,
        description="state_near_two_years: the follow-up EDSS lies no further from t0 + horizon "
        "than this, both ends counted",
    )
    confirmation_days: int = Field(
        ge=0,
        le=36525,
        description="state_near_two_years: worsening must hold at every EDSS within these days "
        "after the follow-up EDSS and at the first EDSS later than that (the closing EDSS); "
        "first_confirmed_event: up to an EDSS at least these days after the onset",
    )
    relapse_exclusion_days: int = Field(
        ge=-1,
        le=36525,
        description="EDSS from day 0 to this day after a relapse onset do not count for follow-up "
        "and confirmation; -1: all count",
    )
    baseline_away_from_relapse: bool = Field(
        description="leave out episodes whose t0 lies in the relapse exclusion"
    )
    closing_required_below_threshold: bool = Field(
        description="state_near_two_years: true: no closing EDSS, no label; false: a follow-up "
        "EDSS below the threshold needs none and is no worsening"
    )
    sustained: bool = Field(
        description="first_confirmed_event: the worsening must hold up to the last visit"
    )
    relapse_days_before_worsening: int = Field(
        ge=0,
        le=36525,
        description="a worsening with a relapse onset in so many days before its onset is RAW",
    )
    relapse_days_after_worsening: int = Field(
        ge=0, le=36525, description="or in so many days after it; without either it is PIRA"
    )
    minimum_gap_days: int = Field(
        ge=0, le=36525, description="least distance of a patient's episodes; 0: every visit is one"
    )
    include_cis: bool = Field(description="keep visits with a clinically isolated syndrome")
    minimum_age_years: int = Field(ge=0, le=120, description="age at t0, where the birth is known")
    minimum_registry_days: int = Field(
        ge=0, le=36525, description="days from a patient's first to the last visit"
    )
    earliest_year: int = Field(
        ge=1900, le=2100, description="onset (where known) and first visit in this year or later"
    )

    @model_validator(mode="after")
    def _follow_up_after_baseline(self) -> Self:
        if self.horizon_tolerance_days >= self.horizon_days:
            raise ValueError(
                f"horizon_tolerance_days ({self.horizon_tolerance_days}) must be less than "
                f"horizon_days ({self.horizon_days}), so that follow-up lies after the baseline"
            )
        return self


class CohortParameters(CohortRules):
    """The rules of the cohort, with the drugs that are looked for in free text."""

    treatments: TreatmentClasses = Field(description="drugs by efficacy class")


class SplitFractions(Section):
    """Shares of a country's patients that go to training, validation and test."""

    train: float = Field(gt=0, lt=1, description="share of patients to train on")
    validation: float = Field(gt=0, lt=1, description="share of patients to select on")
    test: float = Field(gt=0, lt=1, description="share of patients to score on, once")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test must add up to 1, not {total:g}")
        return self


class OwnColumns(Section):
    """What the columns of the contract are called in the table."""

    site: YamlText = Field(min_length=1, description="hospital, center or country of the row")
    label: YamlText = Field(min_length=1, description="the outcome, one of two values")
    patient_id: YamlText | None = Field(
        description="rows of one patient stay in one split; null: the column patient_id where "
        "there is one, else each row is a patient of its own"
    )
    episode_id: YamlText | None = Field(
        description="null: the column episode_id where there is one, else made from the row's "
        "number within its site"
    )
    t0: YamlText | None = Field(
        description="date of the row, which is no feature; null: the column t0 where there is one"
    )


class OwnEpisodesParameters(Section):
    """How a custom table is read: its columns, its outcome, its features."""

    columns: OwnColumns
    positive: YamlLabel | None = Field(
        description="the label that counts as 1, where labels are two texts; null: they are 0 and "
        "1, or true and false"
    )
    leave_out: tuple[YamlText, ...] = Field(description="columns that are no features")
    categorical: tuple[YamlText, ...] = Field(
        description="columns of numbers that are categories; text is categorical by itself"
    )
    numbers: Annotated[dict[Name, Literal["point", "comma"]], NAMED_KEYS] = Field(
        default={},
        description="columns of numbers and their decimal mark, where the cells do not show it",
    )
    missing: tuple[YamlText, ...] = Field(
        default=(), description="words that stand for a missing value in every column"
    )
    values: Annotated[
        dict[Name, Annotated[dict[Name, YamlText | None], NAMED_KEYS]], NAMED_KEYS
    ] = Field(
        default={}, description="by column: text in the file -> text that is meant; null: missing"
    )
    percent: tuple[YamlText, ...] = Field(
        default=(), description="columns of numbers with a percent sign, which are read without it"
    )
    unlabelled: Literal["drop"] | None = Field(
        default=None, description="drop: rows without a label are left out; null: refused"
    )
    labels_left_out: tuple[YamlLabel, ...] = Field(
        default=(), description="labels whose rows are left out"
    )
    encoding: Annotated[str, AfterValidator(known_encoding)] | None = Field(
        default=None, description="of a text file without a byte order mark; null: UTF-8"
    )
    sheet: YamlText | None = Field(
        default=None, description="of a workbook; null: the only one that is not empty"
    )
    value_labels: bool = Field(
        default=False,
        description="read the labels of values in an SPSS, Stata or SAS file, not the values",
    )
    minimum_patients: int = Field(
        default=10,
        ge=1,
        description="a level of a category that fewer patients have, of all sites together, "
        "becomes 'other' before it is named anywhere; 1: every level is named",
    )
    missing_indicators: bool = Field(
        description="a feature '<column> missing' for each column that lacks a value at some site"
    )
    limits: FileLimits = Field(
        default=FileLimits(), description="of the file, which is refused before it is read"
    )
    outcome: YamlText | None = Field(
        description="the outcome in words, for the report; null: the label's column"
    )
    site_name: YamlText = Field(min_length=1, description="what a site is called in the report")

    @field_validator("*", mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        return no_blank(given)
