"""Three sites in this process, see ``site_fixtures``."""

from site_fixtures import registries, sites

__all__ = ["registries", "sites"]
