"""The base of every settings model: a section of a configuration file, checked as it is read."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the settings: an unknown key is an error, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
