"""The traceback of the last failure, for whoever looks into it."""

import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from ms_pfl.files import whole_file
from ms_pfl.log_text import lines

#: Set to 1, it shows the traceback of a failure on the console.
TRACEBACK = "MS_PFL_TRACEBACK"
#: Of the project: the traceback of the last failure.
LOG = "failure.log"


def keep_traceback(error: BaseException, project: Path) -> Path | None:
    """Write the traceback to the project's log and return its path; None: it cannot be written.

    Where the project cannot be written to, it goes to the folder of temporary files.
    """
    text = lines("".join(traceback.format_exception(error)))
    if os.environ.get(TRACEBACK) == "1":
        print(text, file=sys.stderr)
    for path in (project / LOG, Path(tempfile.gettempdir()) / f"ms_pfl-{os.getpid()}-{LOG}"):
        with suppress(OSError), whole_file(path) as part:
            part.write_text(text, encoding="utf-8")
            return path
    return None
