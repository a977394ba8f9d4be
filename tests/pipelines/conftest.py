"""The small tables and studies of the tests of federation and paradigms."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in ("federation", "paradigms"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / _folder))
