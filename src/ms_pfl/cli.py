"""`kedro run` of this project: Kedro's own, whose failures are at most three lines."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli import project as kedro_commands
from kedro.framework.cli.utils import _split_params
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from ms_pfl.command_line import split_parameters
from ms_pfl.failure_log import TRACEBACK, keep_traceback
from ms_pfl.failures import explain, one_line
from ms_pfl.log_text import lines
from ms_pfl.paradigms import PARADIGMS


class RunCommand(click.Command):
    """Kedro's run command in one error boundary, from its options to its last hook."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Read the options."""
        with at_most_three_lines():
            return super().make_context(*arguments, **settings)

    def invoke(self, context: click.Context) -> Any:
        """Run the pipeline."""
        with at_most_three_lines():
            # a paradigm's name is enough: its namespace is in that of the training
            if given := context.params.get("namespaces"):
                context.params["namespaces"] = [
                    f"training.{name}" if name in PARADIGMS else name for name in given
                ]
            return super().invoke(context)


@contextmanager
def at_most_three_lines() -> Iterator[None]:
    """Turn whatever fails into a few lines with cause and remedy, and keep the traceback.

    Raises:
        click.ClickException: with what the command line prints.
    """
    try:
        yield
    except (click.UsageError, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        log = keep_traceback(error, find_kedro_project(Path.cwd()) or Path.cwd())
        if isinstance(error, click.ClickException):  # in words already, of one of our hooks
            raise click.ClickException(lines(error.message)) from error
        message = explain(error) or _refused(error) or defect(error, log)
        raise click.ClickException(message) from error


def defect(error: BaseException, log: Path | None) -> str:
    """Return what is printed of an error that nobody has foreseen."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    kept = f"Traceback: {log}" if log else f"{TRACEBACK}=1 shows the traceback"
    return (
        f"{type(error).__name__}: {one_line(str(error), 300)} ({where})\n"
        "This is a defect of the program. What earlier steps wrote is kept; please report it.\n"
        f"{kept}"
    )


def _refused(error: BaseException) -> str | None:
    """Return what Kedro itself says of a command, a catalog or a pipeline that it cannot use."""
    places = traceback.extract_tb(error.__traceback__)
    if any(place.filename.endswith("omegaconf_config.py") for place in places):
        return (
            f"The configuration cannot be read ({one_line(str(error), 200)}); correct the files of "
            "conf/base and of the environment: each has to hold names with their values"
        )
    kedro = Path(kedro_commands.__file__).parents[2]
    text = one_line(str(error))
    of_a_dataset = text.startswith(("Failed while loading", "Failed while saving"))
    of_kedro = kedro in Path(places[-1].filename).parents
    return text if of_kedro and not of_a_dataset else None


def _read_parameters(context: click.Context, option: click.Parameter, value: Any) -> Any:
    if isinstance(value, dict):  # of a file named with --config
        return value
    pairs = [item.partition("=") for item in split_parameters(value)]
    for key, equals, after in pairs:
        if not (key.strip() and equals):
            _split_params(context, option, key + equals + after)  # which says what is wrong
    items = [f"{key.strip()}={after}" for key, _, after in pairs]
    return OmegaConf.to_container(OmegaConf.from_dotlist(items))


@click.group(name="ms_pfl")
def cli() -> None:
    """Commands of this project."""


_kedro_run = kedro_commands.run
_params = next(option for option in _kedro_run.params if option.name == "params")
_own_params = click.Option(
    ["--params"],
    type=click.UNPROCESSED,
    default="",
    help=f"{getattr(_params, 'help', '')} Values may be lists: seeds=[0,1].",
    callback=_read_parameters,
)
run = RunCommand(
    "run",
    callback=_kedro_run.callback,
    params=[_own_params if option is _params else option for option in _kedro_run.params],
    help=_kedro_run.help,
)
cli.add_command(run)
