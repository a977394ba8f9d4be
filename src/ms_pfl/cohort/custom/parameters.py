"""Typed parameters of an episodes table of one's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ms_pfl.config import Section
from ms_pfl.yaml_text import NAMED_KEYS, Name, YamlLabel, YamlText


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
    """How a table of one's own is read: its columns, its outcome, its features."""

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
    missing_indicators: bool = Field(
        description="a feature '<column> missing' for each column that lacks a value at some site"
    )
    outcome: YamlText | None = Field(
        description="the outcome in words, for the report; null: the label's column"
    )
    site_name: YamlText = Field(min_length=1, description="what a site is called in the report")
