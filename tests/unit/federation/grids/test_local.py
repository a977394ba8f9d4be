"""What every simulation grid does, seen on the one in this process."""

from __future__ import annotations

import pytest

from federation_examples import RecordingGrid, data_of, nodes_of, prepared, settings
from ms_pfl.federation.exchange import ClientError, Node
from ms_pfl.federation.fixed_point import ROWS
from ms_pfl.federation.flower import ConfigRecord, Message, RecordDict, to_arrays
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.messages import SCALER
from ms_pfl.federation.partitions import POOLED
from ms_pfl.federation.sums import SUMS

QUESTION = RecordDict({"config": ConfigRecord({"seed": 0, "question": SCALER, "sites": 3})})


def question(node_id: int) -> Message:
    return Message(QUESTION, message_type="query.sums", dst_node_id=node_id)


def test_nodes_are_numbered_and_replies_ordered_by_country() -> None:
    data = data_of()
    with LocalGrid(data, [Node("CZ", 0), Node("AU", 0), Node("BE", 0)]) as grid:
        assert [node.country for node in grid.nodes.values()] == ["AU", "BE", "CZ"]
        assert grid.get_node_ids() == [1, 2, 3] == [n.node_id for n in grid.get_nodes()]
        replies = grid.send_and_receive([question(3), question(1), question(2)])
        assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3]
        rows = [ROWS.decode(to_arrays(reply.content[SUMS])["n"])[0] for reply in replies]
    assert rows == [data.training_rows(country, 0) for country in ("AU", "BE", "CZ")]


def test_push_and_pull_are_the_two_halves_of_send_and_receive() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        first, second = grid.push_messages([question(1), question(2)])
        assert first != second
        (reply,) = grid.pull_messages([second])
        assert reply.metadata.reply_to_message_id == second
        assert reply.metadata.src_node_id == 2
        assert list(grid.pull_messages([second])) == []


def test_seeds_have_nodes_of_their_own() -> None:
    data = data_of(seeds=(0, 1))
    with LocalGrid(data, nodes_of(data)) as grid:
        assert [str(grid.nodes[i]) for i in grid.node_ids(1)] == [
            "AU (seed 1)",
            "BE (seed 1)",
            "CZ (seed 1)",
        ]


def test_runs_do_not_see_each_others_state() -> None:
    data, told = data_of(), settings("adaptive")
    with LocalGrid(data, nodes_of(data)) as a, LocalGrid(data, nodes_of(data)) as b:
        prepared(a, told)
        kept = {country: list(records) for country, records in a.private().items()}
        assert kept == {country: ["private/0"] for country in data.countries}
        for look in (b.private, lambda: b.export_state("private/0")):
            with pytest.raises(ClientError, match=r"AU \(seed 0\) holds no '(inputs|private/0)'"):
                look()


def test_an_unknown_kind_of_message_names_the_client() -> None:
    data = data_of()
    with LocalGrid(data, [Node(POOLED, 0)]) as grid:
        message = grid.create_message(QUESTION, "query.nothing", 1, "")
        with pytest.raises(ClientError, match=r"(?s)pooled \(seed 0\) failed.*'nothing'"):
            grid.send_and_receive([message])


def test_settings_travel_whole() -> None:
    data, told = data_of(), settings("adaptive", plateau={"factor": 0.1, "patience": 2,
                                                           "min_learning_rate": 1e-6})  # fmt: skip
    with RecordingGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        sent = [
            content["config"]["settings"]
            for direction, kind, content in grid.traffic
            if (direction, kind) == ("down", "query.prepare")
        ]
    assert [type(told).model_validate_json(text) for text in sent] == [told] * 3
