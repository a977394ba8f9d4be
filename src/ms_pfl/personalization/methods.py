"""From the name of a paradigm to its method."""

from __future__ import annotations

from importlib import import_module

from ms_pfl.paradigms import PARADIGMS
from ms_pfl.personalization.method import Method


def method_class(paradigm: str) -> type[Method]:
    """Return the class of a paradigm's method."""
    module, name = PARADIGMS[paradigm].method.split(":")
    found: type[Method] = getattr(import_module(f"ms_pfl.personalization.{module}"), name)
    return found
