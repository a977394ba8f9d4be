"""The finished main job that several tests look at, see ``smoke_fixtures``."""

from smoke_fixtures import smoke_run

__all__ = ["smoke_run"]
