"""What has to be right before a site can start, looked at one by one: `... site preflight`.

It takes the arguments of deploy/start_site.sh, changes nothing, starts nothing, and sends nothing
but a request without a key. Each check is a line: what is right, or what to do.
"""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cryptography import x509

from ms_pfl.deployment.agreed_app import AGREED
from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.arguments import port_number, whole_path
from ms_pfl.deployment.mask_keys import KEY, PINNED, check_keys, code_of
from ms_pfl.deployment.network import Address, check_port, reach, without_local_proxy
from ms_pfl.deployment.own_tables import (
    other_countries,
    own_spellings,
    read_own_tables,
    same_name_hint,
)
from ms_pfl.deployment.policy import read_policy
from ms_pfl.deployment.rights import open_to_others, read_file
from ms_pfl.deployment.settings import in_quotes
from ms_pfl.deployment.site_keys import fingerprint
from ms_pfl.deployment.start_site import (
    HOST,
    PORT_ARGUMENT,
    PORT_REMEDY,
    SiteStart,
    check_key,
    further_settings,
)
from ms_pfl.errors import InputError
from ms_pfl.names import normal
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.text import shown

_DAYS = 30
_GIB = 2**30
_LARGEST = 1_000_000  # bytes of a certificate
_ALL = "kedro run --pipeline=check_tables --params=registry_folder={} lists all, with settings"


def preflight(arguments: Sequence[str]) -> int:
    """Print a line for each check; return 1 if there is something to do, else 0.

    Args:
        arguments: of start_site.sh.
    """
    os.environ.update(without_local_proxy(os.environ))  # which the HTTP client reads
    code = 0
    for name, check in _checks(arguments):
        try:
            print(f"ok     {name}: {check()}", flush=True)
        except (InputError, OSError, ValueError) as error:
            print(f"TO DO  {name}: {shown(error, 1000)}", flush=True)
            code = 1
    return code


main = preflight


def _checks(arguments: Sequence[str]) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the checks; those of what was not given are left out."""
    yield "settings", lambda: _settings(arguments)
    if len(arguments) < 6:
        return
    superlink, *paths, port = [*arguments[:3], *arguments[4:], "9094"][:6]
    try:
        certificate, key, registry, folder = map(whole_path, paths)
    except InputError:
        return  # as the settings' line says
    yield "server", lambda: _way(superlink, certificate)
    yield "certificate", lambda: _certificate(superlink, certificate)
    yield "key", lambda: _key(key)
    yield "port", lambda: _port(port_number(port, PORT_ARGUMENT))
    country, further = normal(arguments[3].strip()), arguments[7:]
    yield "registry", lambda: _registry(registry, country, further_settings(further))
    yield "rights of the registry folder", lambda: _rights(registry)
    yield "policy", lambda: _policy(folder)
    yield "keys of masked sums", lambda: _mask_keys(folder, country)
    yield "rights of the site folder", lambda: _rights(folder)
    yield "disk", lambda: _disk(folder)
    yield "app", lambda: f"{AGREED.name} {AGREED.version}, digest {AGREED.digest[:16]}"


def _settings(arguments: Sequence[str]) -> str:
    return f'"{SiteStart.read(arguments).settings.country}"'


def _way(superlink: str, certificate: Path) -> str:
    address = Address.read(superlink)
    return f"{address} is reached {reach(address, certificate).way}, and the clocks agree"


def _certificate(superlink: str, certificate: Path) -> str:
    authority = x509.load_pem_x509_certificate(read_file(certificate, _LARGEST))
    until = reach(Address.read(superlink), certificate).valid_until
    ends = {
        f"the authority's, {certificate},": authority.not_valid_after_utc,
        "the server's": datetime.datetime.fromtimestamp(until, datetime.UTC),
    }
    now = datetime.datetime.now(datetime.UTC)
    for name, end in ends.items():
        if end - now < datetime.timedelta(days=_DAYS):
            raise InputError(
                f"{name} ends on {end:%Y-%m-%d}: ask the server's administrator for a new one"
            )
    return ", ".join(f"{name} is valid until {end:%Y-%m-%d}" for name, end in ends.items())


def _key(path: Path) -> str:
    key = check_key(path)
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path} is open to others: chmod 600 '{path}'")
    return f"{fingerprint(key.public_key())} (the server's administrator has to have the same)"


def _port(port: int) -> str:
    check_port(HOST, port, "the site's own processes", PORT_REMEDY)
    return f"{port} is free"


def _registry(folder: Path, country: str, further: Mapping[str, str]) -> str:
    """Read the tables as a run does, by the site's own settings."""
    project, env = further.get("project", ""), further.get("env", "")
    try:
        tables, report = read_own_tables(folder, *own_spellings(project, env))
    except IngestError as error:
        raise InputError(f"{error} ({_ALL.format(shlex.quote(str(folder)))})") from None
    if countries := other_countries(tables, country):
        raise InputError(
            f"the site is called '{shown(country, 60)}', and {folder} has patients of "
            f"{in_quotes(countries)}{same_name_hint(country, countries)}"
        )
    counts = ", ".join(f"{len(table)} {name}" for name, table in tables.frames().items())
    noted = f"; {len(report)} lines in the ingest report" if len(report) else ""
    return f"{folder} has {counts}{noted}"


def _policy(folder: Path) -> str:
    policy = read_policy(folder)
    return f"{folder / 'policy.yml'}: floor {policy.floor}, small cells: {policy.small_cells}"


def _mask_keys(folder: Path, country: str) -> str:
    policy = read_policy(folder)
    if policy.plain_sums == "allow" and not any((folder / name).exists() for name in (KEY, PINNED)):
        return "none; the site takes part in plain sums alone (plain_sums: allow)"
    approvals = Approvals(folder)
    runs = {
        asked.run: asked.agreement.sites
        for asked in approvals.all()
        if asked.agreement.masked and approvals.status(asked.run) != "expired"
    }
    keys = check_keys(folder, country, runs)
    return f"pinned are {in_quotes(sorted(keys))}, code {code_of(keys)}"


def _rights(folder: Path) -> str:
    if told := open_to_others(folder):
        raise InputError(told)
    return f"{folder} is closed to other accounts"


def _disk(folder: Path) -> str:
    needed = read_policy(folder).disk_gib
    free = shutil.disk_usage(folder).free / _GIB
    if free < needed:
        raise InputError(
            f"{folder} has {free:.1f} GiB free, and its policy lets it grow to {needed} GiB: free "
            "space, or set disk_gib lower"
        )
    return f"{free:.1f} GiB free, of which the policy takes {needed} at most"


if __name__ == "__main__":
    sys.exit(preflight(sys.argv[1:]))
