"""What several test folders share."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from done_once import do_once
from hypothesis_profiles import load_profile
from kedro_project import PROJECT

# pytest-xdist tells its processes how wide its own terminal is
os.environ.pop("COLUMNS", None)
load_profile()
# What is loaded with the tests stays until the end: looking for garbage in it finds none.
gc.set_threshold(50_000, 20, 100)

TESTS = Path(__file__).parent
#: Files that take longest, in the order in which they are to begin.
_LONGEST = (
    "test_smoke_run.py", "test_ray_workers.py", "test_synthetic_realism.py", "test_own_tables.py",
    "test_own_episodes.py", "test_names_run.py", "test_sites.py", "test_pool.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder; the longest files begin first, so that processes end together."""
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    for item in items:
        if "sites" in getattr(item, "fixturenames", ()):  # a whole federation, in this process
            item.add_marker("integration")
        elif item.get_closest_marker("integration") is None:
            item.add_marker(item.path.relative_to(TESTS).parts[0])


def pytest_collection_finish() -> None:
    """Leave what has been loaded out of the search for garbage, and matrix products on one core.

    The processes of pytest-xdist have a core each: threads of one would wait for the other's.
    What runs in a process of its own, and Ray's workers, are not touched.
    """
    gc.collect()
    gc.freeze()
    threadpool_limits(1, user_api="blas")


def pytest_runtest_setup() -> None:
    """Leave what is the same for every test to the first that needs it."""
    do_once()


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
