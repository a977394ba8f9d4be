"""Typed parameters of an episodes table of one's own."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ms_pfl.names import Name


class OwnColumns(BaseModel):
    """What the columns of the contract are called in the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: Name = Field(min_length=1, description="hospital, center or country of the row")
    label: Name = Field(min_length=1, description="the outcome, one of two values")
    patient_id: Name | None = Field(
        description="rows of one patient stay in one split; null: the column patient_id where "
        "there is one, else each row is a patient of its own"
    )
    episode_id: Name | None = Field(
        description="null: the column episode_id where there is one, else made from the row's "
        "number within its site"
    )
    t0: Name | None = Field(
        description="date of the row, which is no feature; null: the column t0 where there is one"
    )


class OwnEpisodesParameters(BaseModel):
    """How a table of one's own is read: its columns, its outcome, its features."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: OwnColumns
    positive: Name | None = Field(
        description="the label that counts as 1, where labels are two texts; null: they are 0 and "
        "1, or true and false"
    )
    leave_out: tuple[Name, ...] = Field(description="columns that are no features")
    categorical: tuple[Name, ...] = Field(
        description="columns of numbers that are categories; text is categorical by itself"
    )
    missing_indicators: bool = Field(
        description="a feature '<column> missing' for each column that lacks a value at some site"
    )
    outcome: Name | None = Field(
        description="the outcome in words, for the report; null: the label's column"
    )
    site_name: Name = Field(min_length=1, description="what a site is called in the report")

    @field_validator("positive", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        if isinstance(given, bool):
            raise ValueError('write the label in quotes, such as "yes" (YAML reads yes as true)')
        return str(given) if isinstance(given, int | float) else given
