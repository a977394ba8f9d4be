"""What a site takes part in: one file of its own, which no server can change."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, field_validator

from ms_pfl.config import Section
from ms_pfl.deployment.rights import read_own
from ms_pfl.errors import InputError
from ms_pfl.files import whole_file
from ms_pfl.paradigms import trainings
from ms_pfl.personalization.method import method_class
from ms_pfl.text import shown
from ms_pfl.yaml_text import YamlText

if TYPE_CHECKING:
    from ms_pfl.deployment.agreement import RunAgreement, Stage
    from ms_pfl.learning.parameters import NetworkKind, NetworkParameters

NAME = "policy.yml"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # it is read at each message
_LARGEST = 10_000  # bytes of the file: it is written by a person
_DEEPEST = 2  # lists and mappings in each other

Count = Annotated[int, Field(ge=1)]


class SitePolicy(Section):
    """The bounds of a site: what is beyond one of them is refused, approved or not.

    ``seeds``: each seed tells two sums per feature and country over other training patients, which
    are linear equations for their values as soon as somebody knows how they were divided. Five
    are far fewer than the patients of any site that passes the floor, and enough for a mean.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    floor: Annotated[int, Field(ge=2)] = Field(
        default=10, description="patients in every set that a number is told of"
    )
    plain_sums: Literal["refuse", "allow"] = Field(
        default="refuse", description="runs whose server reads each site's sums by themselves"
    )
    small_cells: Literal["refuse", "allow"] = Field(
        default="refuse", description="plain sums with a cell of fewer patients (Newton, trees)"
    )
    scores: Literal["keep", "tell"] = Field(
        default="keep", description="of masked runs: own losses and ROC-AUC, which are no sums"
    )
    sites: Count = Field(default=3, description="sites at least: with two, each knows the other")
    runs: Literal["all"] | Annotated[tuple[YamlText, ...], Field(strict=False, min_length=1)] = (
        Field(default="all", description="or a list of trainings, such as [adaptive.fedavg]")
    )
    seeds: Count = Field(default=5, description="divisions of the patients in one run")
    rounds: Count = Field(default=400, description="rounds, steps of Newton, or trees")
    evaluations: Count = Field(
        default=1, description="different models scored per seed and round, under one approval"
    )
    epochs: Count = Field(default=150, description="epochs in a round, or of a training alone")
    batch: Count = Field(default=32, description="rows per step of the optimizer, at least")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        default=0.1, description="of the optimizer"
    )
    largest_update: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="change of the weights in a round that is sent masked, in norms"
    )
    parameters: Count = Field(default=5_000_000, description="weights of the network")
    width: Count = Field(default=1024, description="units in a layer")
    layers: Count = Field(default=10, description="hidden layers")
    seconds_per_message: Count = Field(default=43_200, description="time for one answer")
    memory_gib: Count = Field(default=16, description="memory for one answer")
    disk_gib: Count = Field(default=20, description="size of the site folder")

    @field_validator("runs")
    @classmethod
    def _known(cls, runs: Literal["all"] | tuple[str, ...]) -> Literal["all"] | tuple[str, ...]:
        known = {training.name for training in trainings()}
        for name in () if runs == "all" else runs:
            if name not in known:
                raise ValueError(
                    f"there is no training '{shown(name, 60)}'; there are: "
                    f"{', '.join(sorted(known))}"
                )
        return runs

    def objections(self, agreement: RunAgreement, n_features: int) -> list[str]:
        """Return what of an agreement is beyond the policy, a line each; nothing: it is within.

        Args:
            agreement: what the server asks for.
            n_features: columns of the episodes.
        """
        found = []
        if not agreement.masked and self.plain_sums == "refuse":
            found.append("plain_sums: sums in the clear are asked for, and the policy refuses them")
        if len(agreement.sites) < self.sites:
            found.append(_beyond("sites", len(agreement.sites), self.sites, "at least"))
        if len(agreement.seeds) > self.seeds:
            found.append(_beyond("seeds", len(agreement.seeds), self.seeds))
        for stage in agreement.stages:
            if self.runs != "all" and stage.training not in self.runs:
                found.append(f"runs: {stage.training} is not among those of the policy")
            found += [f"{stage.training}: {text}" for text in self._of_stage(stage, n_features)]
        return found

    def _of_stage(self, stage: Stage, n_features: int) -> Iterator[str]:
        settings = stage.settings
        network, optimizer = settings.network, settings.optimizer
        batch = optimizer.batch_size
        steps = None
        if settings.logistic is not None:
            steps = settings.logistic.steps
        elif settings.trees is not None:
            steps = settings.trees.trees
        if steps is not None:
            if steps > self.rounds:
                yield _beyond("rounds", steps, self.rounds)
            return
        rates = [optimizer.learning_rate]
        if settings.method is not None and "learning_rate" in settings.method:
            rates.append(settings.method["learning_rate"])
        kind = method_class(settings.paradigm).kind
        width = settings.inputs.largest_width(n_features)
        most = {
            "rounds": stage.rounds,
            "epochs": max(stage.epochs, stage.epochs_without_validation),
            "learning_rate": max(rates),
            "largest_update": stage.largest_update,
            "width": max(network.width, network.extension_width),
            "layers": max(
                network.hidden_layers, *(tier.layers for tier in network.extension_tiers)
            ),
            "parameters": number_of_weights(kind, width, network),
        }
        for name, value in most.items():
            if value > getattr(self, name):
                yield _beyond(name, value, getattr(self, name))
        if batch is not None and batch < self.batch:
            yield _beyond("batch", batch, self.batch, "at least")


def _beyond(name: str, value: float, bound: float, how: str = "at most") -> str:
    return f"{name}: {value:g} asked for, {how} {bound:g} by the policy"


def number_of_weights(kind: NetworkKind, n_inputs: int, network: NetworkParameters) -> int:
    """Return the weights of the largest network that a site would build; nothing is built."""
    layers, width = network.hidden_layers, network.width
    core = _weights([n_inputs, *itertools.repeat(width, layers)])
    last = width if layers else n_inputs
    if kind == "mlp":
        return core + last + 1
    depth = max(tier.layers for tier in network.extension_tiers)
    own = network.extension_width
    extension = _weights([n_inputs, *itertools.repeat(own, depth)])
    return core + extension + _weights([last + own, width]) + width + 1


def _weights(sizes: list[int]) -> int:
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def read_policy(folder: Path) -> SitePolicy:
    """Return the policy of a site folder.

    Raises:
        InputError: there is none, or it cannot be used.
    """
    path = folder / NAME
    try:
        if not path.is_file():
            raise InputError(
                f"{path} is missing: write it by `python -m ms_pfl site init {folder}`"
            )
        content = read_own(path, _LARGEST)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    try:
        text = content.decode()
        reason = _objection(text)
        told = None if reason else yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a number, a date
        raise InputError(f"{path} is no YAML: {shown(error)}") from None
    if reason:
        raise InputError(f"{path}: {reason}")
    if not isinstance(told, dict):
        raise InputError(f"{path} has to hold names with their values, such as floor: 10")
    try:
        return SitePolicy.model_validate(told)
    except ValidationError as error:
        raise InputError(f"{path}: {first_reason(error)}") from None


def _objection(text: str) -> str | None:
    """Return why YAML that can be read is no policy; None: it may be one.

    A list of lists that are aliases of each other is small to read and endless to show.
    """
    depth, names = 0, list[str]()
    is_name = True  # names and values of the mapping take turns
    for event in yaml.parse(text, Loader=_LOADER):
        if getattr(event, "anchor", None) is not None:
            return "an alias or anchor (*, &) is not possible; write the value in its place"
        if isinstance(event, yaml.NodeEvent) and depth == 1:
            if is_name and isinstance(event, yaml.ScalarEvent):
                names.append(event.value)
            is_name = not is_name
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return "a list in a list is not possible"
    if twice := [name for name in names if names.count(name) > 1]:  # YAML takes the last one
        return f"{shown(twice[0], 60)} stands there twice"
    return None


def first_reason(error: ValidationError) -> str:
    """Return the first reason why a policy cannot be used, in one line."""
    first = error.errors(include_url=False)[0]
    name, known = str(first["loc"][0]), list(SitePolicy.model_fields)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}" if close else f"known are: {', '.join(known)}"
        return f"{shown(name, 60)} is unknown; {hint}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{name}: {shown(repr(first['input']), 60)}: {shown(reason)}"


def write_policy(folder: Path, policy: SitePolicy) -> Path:
    """Write a policy with a comment at each line; return its file."""
    check = "python -m ms_pfl site policy --folder FOLDER"
    lines = [f"# What this site takes part in; `{check}` checks it."]
    for name, field in SitePolicy.model_fields.items():
        value = getattr(policy, name)
        told = f"[{', '.join(value)}]" if isinstance(value, tuple) else f"{value}"
        lines.append(f"{f'{name}: {told}':<28} # {field.description}")
    path = folder / NAME
    with whole_file(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path
