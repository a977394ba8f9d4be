"""Ask nodes for something and insist on all answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ms_pfl.federation.flower import Grid, Message, RecordDict


class ClientError(RuntimeError):
    """A client failed, did not answer, or answered with an error; the message names it."""


def node_name(grid: Grid, node_id: int) -> str:
    """What to call a node in a message: its country where the grid knows it."""
    name_of = getattr(grid, "name_of", None)
    return str(name_of(node_id)) if name_of is not None else f"node {node_id}"


def check_replies(
    replies: Iterable[Message], expected: Sequence[int], names: Mapping[int, str]
) -> list[Message]:
    """The replies in the order of ``expected``: one of each node, none of them an error.

    Raises:
        ClientError: a node did not answer, answered twice or with an error.
    """
    by_node: dict[int, Message] = {}
    for reply in replies:
        node_id = reply.metadata.src_node_id
        name = names.get(node_id, f"node {node_id}")
        if reply.has_error():
            raise ClientError(f"the client {name} answered with an error: {reply.error.reason}")
        if node_id in by_node or node_id not in names:
            raise ClientError(f"a reply too many came from {name}")
        by_node[node_id] = reply
    silent = [names[node_id] for node_id in expected if node_id not in by_node]
    if silent:
        raise ClientError(f"no reply came from {', '.join(silent)}")
    return [by_node[node_id] for node_id in expected]


def ask(grid: Grid, message_type: str, contents: Mapping[int, RecordDict]) -> dict[int, RecordDict]:
    """Send each node its content and return what each replied, in the order given.

    Raises:
        ClientError: a node failed or did not answer.
    """
    messages = [
        Message(content=content, message_type=message_type, dst_node_id=node_id)
        for node_id, content in contents.items()
    ]
    names = {node_id: node_name(grid, node_id) for node_id in contents}
    replies = check_replies(grid.send_and_receive(messages), list(contents), names)
    return {reply.metadata.src_node_id: reply.content for reply in replies}
