"""``python -m ms_pfl``: the same as ``kedro run`` inside the project; ``... site``: of a site."""

import sys
from typing import Any


def main(*args: Any, **kwargs: Any) -> Any:
    """Run a pipeline of the project; takes the options of ``kedro run``."""
    # by need: Kedro's logging writes to what a site's commands print, such as the line of a key
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    configure_project("ms_pfl")
    interactive = hasattr(sys, "ps1")
    run = find_run_command("ms_pfl")
    return run(*args, **{**kwargs, "standalone_mode": not interactive})


if __name__ == "__main__":
    if sys.argv[1:2] == ["site"]:
        from ms_pfl.deployment.commands import main as site

        sys.exit(site(sys.argv[2:]))
    main()
