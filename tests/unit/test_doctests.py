"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import ms_pfl

MODULES = [
    module.name
    for module in pkgutil.walk_packages(ms_pfl.__path__, "ms_pfl.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [e for m in MODULES for e in finder.find(importlib.import_module(m)) if e.examples]
    assert len(found) > 10
