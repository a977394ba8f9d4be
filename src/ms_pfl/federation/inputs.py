"""What rows become before a learner sees them: how sites agree on it, and what a site is told."""

from collections.abc import Sequence

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import NamedGrid
from ms_pfl.federation.flower import ArrayError, ArrayRecord, Form, Message, received
from ms_pfl.federation.messages import FIRST_CELLS, SCALER, SECOND_CELLS, RefusedMessageError
from ms_pfl.federation.sums import sum_over_sites
from ms_pfl.learning import encoding
from ms_pfl.learning.bins import Bins
from ms_pfl.learning.encoding import CELLS, Encoding
from ms_pfl.learning.inputs import TYPES, Inputs, inputs_of
from ms_pfl.learning.parameters import MOST_BINS, InputParameters
from ms_pfl.learning.scaler import Scaler, ScalerSums
from ms_pfl.personalization.method import SHARED


def agree_on_inputs(
    grid: NamedGrid, seed: int, settings: InputParameters, one_hot: Sequence[int]
) -> Inputs:
    """Return what rows become before a learner sees them, from sums that the sites send.

    Args:
        grid: the sites.
        seed: whose training rows are asked about.
        settings: of the inputs.
        one_hot: positions of the features whose levels are columns at full weight.

    Raises:
        ClientError: a site failed or did not answer, or its answer cannot be used.
    """
    scaler = None
    if settings.needs_scaler:
        total = sum_over_sites(grid, seed, SCALER)
        scaler = Scaler.from_sums([ScalerSums(total["n"], total["sum"], total["sum-of-squares"])])
        if settings.kind == "standard":
            return scaler
    edges = encoding.second_edges(sum_over_sites(grid, seed, FIRST_CELLS)["counts"])
    total = sum_over_sites(grid, seed, SECOND_CELLS, {"edges": edges})
    if settings.kind == "binned":
        return Bins.of(edges, total["counts"], settings.bins)
    return Encoding.of(
        edges,
        total["counts"],
        total["missing-together"],
        settings,
        one_hot,
        None if scaler is None else (scaler.mean, scaler.sd),
    )


def questions_of(settings: InputParameters) -> list[str]:
    """Return the questions that the inputs are made from, in their order."""
    cells = [] if settings.kind == "standard" else [FIRST_CELLS, SECOND_CELLS]
    return [SCALER, *cells] if settings.needs_scaler else cells


def received_edges(message: Message, n_features: int) -> dict[str, np.ndarray]:
    """Return the edges of cells that a question is about; nothing where it is about none.

    Raises:
        RefusedMessageError: they are no ascending edges of so many features.
    """
    record = message.content.get(SHARED)
    if not isinstance(record, ArrayRecord):
        return {}
    form = Form("float32", (n_features, CELLS - 1))
    try:
        found = received(record, {"edges": form})
    except ArrayError as error:
        raise RefusedMessageError(f"query.sums: {error}") from None
    if (found["edges"][:, 1:] < found["edges"][:, :-1]).any():
        raise RefusedMessageError("query.sums: the edges of the cells are not ascending")
    return found


def received_inputs(record: ArrayRecord, settings: InputParameters, n_features: int) -> Inputs:
    """Return the inputs that a message describes.

    Args:
        record: of the message.
        settings: that the inputs follow from.
        n_features: of the rows.

    Raises:
        InputError: an array is not what it has to be, or the inputs are of another kind.
    """
    found = inputs_of(received(record, _forms(record, settings, n_features)), n_features)
    kinds = {"standard": Scaler, "encoded": Encoding, "binned": Bins}
    if not isinstance(found, kinds[settings.kind]):
        raise InputError(f"the inputs are not of the kind '{settings.kind}'")
    return found


def width_of(record: ArrayRecord) -> int:
    """Return the columns of the rows that a learner sees, from a record of checked inputs."""
    (name,) = {"kind", "cuts", "mean"} & record.keys()
    return int(record[name].shape[0])


def _forms(record: ArrayRecord, settings: InputParameters, n_features: int) -> dict[str, Form]:
    """Return the types and shapes of the arrays; an encoding has as many columns as it tells."""
    shapes: dict[str, tuple[int, ...]]
    if settings.kind == "binned":
        shapes = {"cuts": (n_features, MOST_BINS - 1), "medians": (n_features,)}
        return {name: Form(TYPES[name], shape) for name, shape in shapes.items()}
    if "kind" not in record:
        return {name: Form(TYPES[name], (n_features,)) for name in ("mean", "sd")}
    told = tuple(record["kind"].shape)
    if len(told) != 1 or not 1 <= told[0] <= settings.largest_width(n_features):
        raise InputError("the encoding of the inputs has no column, or too many")
    columns = dict.fromkeys(("kind", "feature", "low", "high", "scale", "means"), (told[0],))
    shapes = {
        "edges": (n_features, CELLS - 1),
        "scores": (n_features, CELLS),
        **columns,
    }
    return {name: Form(TYPES[name], shape) for name, shape in shapes.items()}
