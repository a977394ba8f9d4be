"""What `flwr run` starts: the ServerApp of a federation of sites, and a site's ClientApp."""

import logging
import sys

from ms_pfl.log_text import PrintableMessages


def log_to_stdout() -> None:
    """Have the package's log go where Flower collects what an app prints."""
    logger = logging.getLogger("ms_pfl")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.addFilter(PrintableMessages())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
