"""What a person sets: the server by `--run-config`, a site by `--node-config`, both by conf/."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from kedro.config import MissingConfigException
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from ms_pfl.conf_files import ConfLoader
from ms_pfl.config import CONFIG_LOADER_ARGS
from ms_pfl.deployment.site_keys import read_sites_file
from ms_pfl.errors import InputError
from ms_pfl.names import near_names, normal
from ms_pfl.parameters import Parameters, describe
from ms_pfl.yaml_text import Name

_NO_LIST = (
    "sites = {} is no JSON list of names ({}); write names without commas as AU,CZ,TR, and others "
    'as ["Korea, Republic of", "Turkey"]'
)


@dataclass(frozen=True, config=ConfigDict(strict=True))
class ServerSettings:
    """The keys of `--run-config`.

    Attributes:
        project: folder with conf/, at the server.
        sites: the countries that take part: comma-separated, or a JSON list of names with commas.
        keys: the file that binds each country to its key (sites.yml), at the server.
        paradigm: a row of the table of paradigms, such as adaptive or fine_tuned.
        strategy: of the rounds, such as fedavg.
        env: a folder of conf/ beside base; empty: none.
        output: folder for what the server learns; empty: data/06_models/federation of the project.
        wait_for_sites: seconds that a site may be away.
        wait_for_approval: seconds that a site's operator may take to approve what is asked.
        answer_within: seconds that a site may take to answer one message.
        sums: "masked", so that the server reads totals alone, or "plain", which each site's policy
            has to allow.
        anew: begin from the first round although an unfinished run has left something.
    """

    project: str
    sites: str
    keys: str
    paradigm: str = "adaptive"
    strategy: str = "fedavg"
    env: str = ""
    output: str = ""
    wait_for_sites: float = 600.0
    wait_for_approval: float = 86400.0
    answer_within: float = 43200.0
    sums: Literal["masked", "plain"] = "masked"
    anew: bool = False

    @property
    def output_folder(self) -> Path:
        """The folder for what the server learns."""
        default = Path(self.project) / "data" / "06_models" / "federation"
        return Path(self.output or default).expanduser().resolve()

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of the key of each country that takes part.

        Raises:
            InputError: the file of keys cannot be used, or a country is not in it.
        """
        path = Path(self.keys).expanduser().resolve()
        known = read_sites_file(path)
        if absent := [country for country in self.countries if country not in known]:
            alike = [other for name in absent for other in near_names(name, known)]
            hint = f" (it has one for {in_quotes(alike)}: name both in one way)" if alike else ""
            raise InputError(
                f"{path} has no key for {in_quotes(absent)}{hint}: add each with the fingerprint "
                "of its public key (make_sites_file.sh), or correct the sites of the run"
            )
        return {country: known[country] for country in self.countries}

    @property
    def countries(self) -> tuple[str, ...]:
        """The countries, sorted.

        Raises:
            InputError: none is named, or what looks like a JSON list is none.
        """
        text = self.sites.strip()
        names: Any = text.split(",")
        if text.startswith("["):
            try:
                names = json.loads(text)
            except ValueError as error:
                raise InputError(f"--run-config: {_NO_LIST.format(text, error)}") from None
            if not all(isinstance(name, str) for name in names):
                raise InputError(f"--run-config: {_NO_LIST.format(text, 'a name is no text')}")
        named = tuple(sorted({normal(name) for name in names} - {""}))
        if not named:
            raise InputError(
                "no site is named: give the countries that take part, e.g. --run-config "
                "'sites=\"AU,CZ,TR\"'"
            )
        return named


@dataclass(frozen=True, config=ConfigDict(strict=True))
class SiteSettings:
    """The keys of `--node-config`.

    Attributes:
        country: what the site is called; all its patients are of it.
        registry_folder: its tables; read, never written to.
        site_folder: where it keeps its episodes, its personal models and its log.
        project: folder with conf/, of which the site's own spelling of the tables (ingest) is read;
            empty: the tables are spelled as in docs/ingest.md.
        env: a folder of conf/ beside base; empty: none.
    """

    country: Name
    registry_folder: str
    site_folder: str
    project: str = ""
    env: str = ""


def read_settings(kind: type[Any], given: Mapping[str, Any], where: str) -> Any:
    """Return settings from Flower's configuration, whose keys have hyphens.

    Args:
        kind: :class:`ServerSettings` or :class:`SiteSettings`.
        given: keys and values.
        where: the option they come from, for the error.

    Raises:
        InputError: a key is unknown, missing or of another type.
    """
    known = {field.name.replace("_", "-"): field.name for field in fields(kind)}
    # Flower puts keys of its own beside them, such as partition-id
    for name in given:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name not in known and close:
            raise InputError(f"{where}: {name!r} is unknown; did you mean {close[0]!r}?")
    values = {known[name]: given[name] for name in known if given.get(name, "") != ""}
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        name = field.replace("_", "-")
        if first["type"] == "missing":
            raise InputError(f"{where}: {name!r} is missing") from None
        kind_of = get_type_hints(kind)[field]
        words = get_args(kind_of)  # of a Literal
        wanted = " or ".join(map(repr, words)) if words else f"a {kind_of.__name__}"
        raise InputError(f"{where}: {name} = {values[field]!r} must be {wanted}") from None


def in_quotes(names: Iterable[str]) -> str:
    """Names in a message, so that each can be told from the next.

    >>> print(in_quotes(["Korea, Republic of", "Turkey"]))
    "Korea, Republic of", "Turkey"
    """
    return ", ".join(f'"{name}"' for name in names)


def toml_text(text: str) -> str:
    r"""Return a text as Flower reads it in `--run-config` and `--node-config`, in its quotation
    marks.

    Flower takes the pairs apart before it reads them as TOML, so that a quotation mark may stand in
    a value as its number alone.

    >>> print(toml_text('C:\\tables "of" Côte d\'Ivoire'))
    "C:\u005ctables \u0022of\u0022 Côte d'Ivoire"

    Raises:
        InputError: the text is a path that is not UTF-8.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{text!r} is not UTF-8; rename the folder, or name a link to it")
    return '"' + "".join(_toml_letter(letter) for letter in text) + '"'


def _toml_letter(letter: str) -> str:
    if letter.isprintable() and letter not in '"\\':
        return letter
    return f"\\U{ord(letter):08x}" if ord(letter) > 0xFFFF else f"\\u{ord(letter):04x}"


def read_parameters(project: str, env: str) -> Parameters:
    """Return the parameters of a project folder's conf/, checked.

    Raises:
        InputError: there are none, or one cannot be used.
    """
    folder = Path(project).expanduser().resolve() / "conf"
    loader = ConfLoader(conf_source=str(folder), env=env or None, **CONFIG_LOADER_ARGS)
    try:
        return Parameters.model_validate(loader["parameters"])
    except (MissingConfigException, ValueError) as error:
        told = describe(error) if isinstance(error, ValidationError) else error
        raise InputError(f"the parameters in {folder} cannot be used: {told}") from error
