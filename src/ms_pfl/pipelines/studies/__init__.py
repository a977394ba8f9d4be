"""Attribution, protocol audit, and countries left out."""
