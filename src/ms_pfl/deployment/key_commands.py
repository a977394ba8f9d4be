"""The keys of masked sums as a site's people exchange them: `site key`, `site keys`, `site pin`."""

from __future__ import annotations

from pathlib import Path

from ms_pfl.deployment.mask_keys import code_of, line_of, own_key, pin, pinned, read_keys
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.settings import in_quotes
from ms_pfl.federation.secure_sums import public_key


def print_key(folder: Path, country: str) -> None:
    """Print the line of a site's public key."""
    print(line_of(country, public_key(own_key(folder))), end="")


def show_keys(folder: Path) -> None:
    """Show the keys that a site has pinned, and the code that two sites compare."""
    keys = pinned(folder)
    if not keys:
        print("No key is pinned: the site takes part in no run that masks its sums.")
        return
    own = public_key(own_key(folder))
    for country in sorted(keys):
        here = " (this site)" if keys[country] == own else ""
        print(line_of(country, keys[country]).rstrip() + here)
    print(
        f"Code of all of them: {code_of(keys)}\nCall the people of each other site, by a number "
        "that you know and not by one that came with the file, and compare the code: where it is "
        "the same at both, so is each key."
    )


def pin_file(folder: Path, file: Path, *, replace: bool) -> None:
    """Pin the keys of a file at a site, and show all that are pinned.

    Args:
        folder: of the site.
        file: with a line per site.
        replace: whether another key, or another name of one, may take the place of a pinned one.
    """
    new = pin(folder, read_keys(file), replace=replace)
    SecurityLog(folder).note("pinned", code=code_of(pinned(folder)), new=new)
    print(f"Pinned: {in_quotes(new) if new else 'nothing new'}.")
    show_keys(folder)
