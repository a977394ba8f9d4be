"""What a host keeps and lets go, and which errors a person sees."""

from __future__ import annotations

import gc

import pytest
import torch

from federation_examples import data_of, nodes_of, prepared, settings
from ms_pfl.errors import InputError
from ms_pfl.federation import client, partitions
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.exchange import ClientError, ask
from ms_pfl.federation.flower import ConfigRecord, Context, RecordDict
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.partitions import ClientData
from ms_pfl.federation.predictions import predict

PLAN = RecordDict(
    {
        "config": ConfigRecord(
            {
                "epochs": 6,
                "patience": 6,
                "epochs-without-validation": 2,
                "start-is-candidate": False,
                "reply-with-arrays": False,
            }
        )
    }
)


def alive(*kinds: type) -> list[int]:
    """How many there are of each kind, of all that was made since the last ``gc.freeze()``."""
    gc.collect()
    things = [type(thing) for thing in gc.get_objects()]
    return [things.count(kind) for kind in kinds]


def test_what_was_made_for_a_run_goes_with_it() -> None:
    gc.collect()
    gc.freeze()  # what earlier tests have left is not looked at
    data, told = data_of(), settings()
    kinds = partitions.ClientData, client._PreparedRows
    assert alive(*kinds) == [0, 0]
    grid = LocalGrid(data, nodes_of(data))
    prepared(grid, told)
    ask(grid, "train.personalize", dict.fromkeys(grid.node_ids(0), PLAN))
    assert alive(*kinds) == [3, 3]
    grid.close()
    assert alive(*kinds) == [0, 0]


def test_a_client_with_its_own_model_keeps_no_selected_arrays() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, settings())
        ask(grid, "train.personalize", dict.fromkeys(grid.node_ids(0), PLAN))
        predict(grid, 0, None, 0, "")
        assert set(grid.export_state("own")) == set(nodes_of(data))
        with pytest.raises(ClientError, match="selected"):
            grid.export_state("selected")


def test_a_grid_tells_each_epoch_of_each_fit() -> None:
    data, told = data_of(), settings()
    seen: list[dict[int, tuple[int, bool]]] = []
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        with grid.watched_by(
            lambda fits: seen.append({i: (fit.epoch, fit.finished) for i, fit in fits.items()})
        ):
            replies = ask(grid, "train.personalize", dict.fromkeys(grid.node_ids(0), PLAN))
        told_so_far = len(seen)
        ask(grid, "train.personalize", {1: PLAN})
    steps = [(epoch, False) for epoch in range(7)] + [(6, True)]
    expected = [
        dict.fromkeys(range(1, node_id), (6, True)) | {node_id: step}
        for node_id in (1, 2, 3)
        for step in steps
    ]
    assert seen == expected
    assert len(seen) == told_so_far, "nobody is told once nobody listens"
    assert all(max(reply["metrics"]["epoch"]) == 6 for reply in replies.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so that cuda is no error")
def test_a_missing_gpu_is_one_line_with_the_country_and_the_remedy() -> None:
    data = data_of()
    told = settings().model_copy(update={"device": "cuda"})
    with (
        LocalGrid(data, nodes_of(data)) as grid,
        pytest.raises(InputError, match=r"^AU \(seed 0\): device: cuda .*set device: auto or cpu$"),
    ):
        prepared(grid, told)


def test_a_defect_keeps_its_traceback() -> None:
    def broken(context: Context, seed: int) -> ClientData:
        raise KeyError("rows")

    data = data_of()
    with (
        LocalGrid(data, nodes_of(data), lambda *_: make_client_app(broken)) as grid,
        pytest.raises(ClientError, match=r"(?s)AU \(seed 0\) failed .*Traceback.*KeyError: 'rows'"),
    ):
        prepared(grid, settings())
