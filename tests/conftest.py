"""What several test folders share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from kedro_project import PROJECT

# pytest-xdist tells its processes how wide its own terminal is
os.environ.pop("COLUMNS", None)
# how long an example takes says more of the machine than of the code
settings.register_profile("project", deadline=None)
settings.load_profile("project")

_LONGEST = ("test_smoke_run.py", "test_own_tables.py", "test_own_episodes.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run whole jobs come first, so that the processes end at about the same time."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """``shared_data(name)``: a folder of real data that lies beside the checkout, not in it."""

    def find(name: str) -> Path:
        folder = PROJECT.parent / "shared" / "data" / name
        if not folder.is_dir():
            reason = f"the folder ../shared/data/{name} is absent"
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI has to test with real data, but {reason}")
            pytest.skip(reason)
        return folder

    return find
