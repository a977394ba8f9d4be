"""What a run writes is closed to other accounts, and what is open to them is told of."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from ms_pfl.files import open_to_others, private_umask
from ms_pfl.text import shown

_log = logging.getLogger(__name__)
#: Parameters that name tables of patients; those of the heart example are public.
_TABLES = ("registry_folder", "episodes_file")


class PrivateFiles:
    """Run under a umask that gives other accounts nothing, which the processes of Ray inherit."""

    def __init__(self) -> None:
        """Start with the umask as it is."""
        self._umask = ExitStack()
        self._tables: list[Path] = []

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember where the tables lie."""
        parameters = context.config_loader["parameters"]
        named = [parameters.get(name) for name in _TABLES]
        self._tables = [Path(str(name)).expanduser() for name in named if name]

    @hook_impl(wrapper=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> Iterator[None]:
        """Set the umask, and warn of rows that every account can read."""
        self._umask.close()  # of a run of this process of which nobody said that it has ended
        self._umask.enter_context(private_umask())
        for place in (Path(run_params["project_path"]) / "data", *self._tables):
            if found := open_to_others(place):
                more = f" and {len(found) - 1} more" if found[1:] else ""
                _log.warning(
                    "%s: every account of this machine can read or change %s%s; close it with "
                    "`chmod -R o= %s`, if that is not on purpose",
                    shown(place), shown(found[0].name), more, shown(shlex.quote(str(place))),
                )  # fmt: skip
        try:
            yield
        except BaseException:
            self._umask.close()
            raise

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Give the umask of before back."""
        self._umask.close()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Give the umask of before back; what an error leaves is private by itself."""
        self._umask.close()
