"""What a site keeps, and where."""

from __future__ import annotations

import pytest

from in_process_flower import Flower
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import Message
from site_examples import Sites


@pytest.mark.parametrize(
    "name",
    ["../elsewhere", "a/b", "a\\b", "..", "", "flwr", "con", "federated.fedavg\n", "local.none",
     "federated.fedavg/../../x", "FEDERATED.FEDAVG"],
)  # fmt: skip
def test_a_server_cannot_have_a_site_write_elsewhere(sites: Sites, name: str) -> None:
    flower = sites.flower()

    def happening(flower: Flower, node: int, message: Message) -> None:
        if message.metadata.message_type == "query.predict":
            message.content["config"]["keep-as"] = name

    flower.happening = happening
    with pytest.raises(ClientError, match=r"is no name of a training|name of the training is not"):
        sites.run(flower, "federated")
    assert not list(sites.folder.rglob("predictions.*.parquet"))
