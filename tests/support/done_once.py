"""What MLflow and the configuration loader do again and again, done once in a process.

MLflow makes a database in some fifty migrations, each with writes that are forced to the disk:
seconds for every project that a test begins with. The texts of conf/base are parsed for every
session, site and set of parameters.
"""

from __future__ import annotations

import functools
import io
import pickle
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any


def do_once() -> None:
    """Do so from now on with what has been imported; call it as often as you like."""
    utils = sys.modules.get("mlflow.store.db.utils")
    if utils is not None and not isinstance(utils._initialize_tables, _Schema):
        utils._initialize_tables = _Schema(utils._initialize_tables)
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and not isinstance(omegaconf.OmegaConf.load, _Parsed):
        omegaconf.OmegaConf.load = _Parsed(omegaconf.OmegaConf.load)


class _Schema:
    """In the place of MLflow's function that makes the tables of an empty database.

    The first is made by MLflow; those after it are copies, table by table as MLflow made them.
    """

    def __init__(self, make: Callable[[Any], None]) -> None:
        self._make = make
        self._made: sqlite3.Connection | None = None

    def __call__(self, engine: Any) -> None:
        if engine.dialect.name != "sqlite":
            self._make(engine)
            return
        if self._made is not None:
            with closing(engine.raw_connection()) as connection:
                self._made.backup(connection.driver_connection)
            return
        self._make(engine)
        made = sqlite3.connect(":memory:", check_same_thread=False)
        with closing(engine.raw_connection()) as connection:
            connection.driver_connection.backup(made)
        self._made = made


class _Parsed:
    """In the place of ``OmegaConf.load``: a text that has been parsed is not parsed again."""

    def __init__(self, load: Callable[[Any], Any]) -> None:
        self._load = load
        self._of_text = functools.lru_cache(maxsize=200)(self._parse)

    def _parse(self, text: str) -> bytes:
        return pickle.dumps(self._load(io.StringIO(text)))

    def __call__(self, file_: Any) -> Any:
        if isinstance(file_, io.StringIO):
            return pickle.loads(self._of_text(file_.read()))
        return self._load(file_)
