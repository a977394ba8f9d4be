"""The tasks of a SuperNode, taken from its Runtime API and answered: all that is private to Flower.

``flower-supernode --isolation process`` starts no program of its own; whoever holds its secret may
take its tasks. Flower's own takers install the app that the server has sent
(``flwr.supercore.superexec.run_superexec``, ``flwr.supernode.runtime.run_clientapp``). This module
does what they do of Flower 1.41's protocol, and leaves the app to its caller. With another version
of Flower, look at these two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx

# isort: off
from ms_pfl.federation.flower import Context, Error, Message  # sets the environment of Flower

# isort: on
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import (
    context_from_proto,
    context_to_proto,
    message_from_proto,
    message_to_proto,
)
from flwr.proto.message_pb2 import Context as ProtoContext
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPushError,
    pull_and_inflate_object_from_tree,
)
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity

CLIENT_APP = str(TaskType.CLIENT_APP.value)
_ANY_APP = [CLIENT_APP, str(TaskType.AGENT_APP.value)]  # all that a SuperNode makes tasks of
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
Parts = list[bytes]
"""An answer as bytes: the message, the tree of its objects, the client's state, and objects by id.
An empty state stands for one that stays as it was."""


class LostTaskError(Exception):
    """The SuperNode is gone, or does not wait for this task any more."""


class SuperNode:
    """The Runtime API of a SuperNode of this machine."""

    def __init__(self, address: str, secret: bytes) -> None:
        """Ask nothing yet.

        Args:
            address: HOST:PORT.
            secret: that the SuperNode was started with.
        """
        self._address = address
        auth = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={_ACQUIRE})
        self._client = _client(address, auth)

    def take(self) -> Task | None:
        """Take the next task; None: there is none, or nobody answers."""
        try:
            claimed = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=_ANY_APP))
            if not claimed.HasField("task") or not claimed.token:
                return None
            client = _client(self._address, RuntimeTokenHttpInterceptor(claimed.token))
            given = client.PullTaskInput(PullTaskInputRequest())
            pulled = client.PullMessages(PullAppMessagesRequest())
            if not pulled.messages_list:
                _finish(client, b"", "there is no message")
                return None
        except httpx.HTTPError:
            return None
        asked = message_from_proto(pulled.messages_list[0])
        tree = pulled.message_object_trees[0]
        return Task(claimed.task.type, asked, given, tree, client, self._address, claimed.token)


@dataclass(frozen=True)
class Task:
    """A message that is to be answered, and the right to answer it.

    Attributes:
        kind: "flwr-clientapp", or of another of Flower's apps.
        asked: the message without its content.
    """

    kind: str
    asked: Message
    given: PullTaskInputResponse
    tree: ObjectTree
    client: RuntimeHttpClient
    address: str
    token: str

    @property
    def fab(self) -> bytes:
        """The app that the server has sent with the run."""
        return bytes(self.given.fab.content)

    @property
    def fab_digest(self) -> str:
        """That the run names."""
        return str(self.given.run.fab_hash)

    @property
    def run_id(self) -> int:
        """Of the run, in Flower."""
        return int(self.given.run.run_id)

    def beat(self) -> None:
        """Say that the task is worked on.

        Raises:
            LostTaskError: nobody waits for it.
        """
        try:
            if self.client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success:
                return
        except httpx.TransportError as error:
            raise LostTaskError(f"the SuperNode is not reached ({type(error).__name__})") from None
        except httpx.HTTPStatusError as error:
            raise LostTaskError(f"the SuperNode answers {error.response.status_code}") from None
        raise LostTaskError("the SuperNode does not wait for it any more")

    def identify(self) -> None:
        """Have this process make messages as those of the task."""
        TaskIdentity.task_id = self.given.task_id
        TaskIdentity.run_id = self.run_id
        TaskIdentity.node_id = self.given.context.node_id

    def load(self) -> tuple[Message, Context]:
        """Fetch the message's content, in a process of its own, and the client's state."""
        context = context_from_proto(self.given.context)
        run_id, node = context.run_id, Node(node_id=context.node_id)
        with _client(self.address, RuntimeTokenHttpInterceptor(self.token)) as client:
            message: Message = pull_and_inflate_object_from_tree(
                self.tree,
                make_pull_object_fn_protobuf(client.PullObject, node, run_id),
                make_confirm_message_received_fn_protobuf(
                    client.ConfirmMessageReceived, node, run_id
                ),
                return_type=Message,
            )
        # the message that travels does not hold its own id
        message.metadata.__dict__["_message_id"] = self.tree.object_id
        return message, context

    def error(self, reason: str) -> Parts:
        """Return the answer that there is none, and why; the client's state stays as it was."""
        error = Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=reason)
        return list(packed(Message(error, reply_to=self.asked), None))

    def drop(self, reason: str) -> None:
        """End the task without an answer, so that the SuperNode does not make one of its own."""
        with suppress(httpx.HTTPError):
            _finish(self.client, b"", reason)

    def answer(self, parts: Parts, failed: str = "") -> None:
        """Hand an answer to the SuperNode.

        Args:
            parts: of the answer.
            failed: why it is none; empty: it is one.

        Raises:
            LostTaskError: the SuperNode does not take it.
        """
        message, tree, state, *objects = parts
        contents = dict(zip(objects[::2], objects[1::2], strict=True))
        try:
            pushed = self.client.PushMessages(
                PushAppMessagesRequest(
                    messages_list=[ProtoMessage.FromString(message)],
                    message_object_trees=[ObjectTree.FromString(tree)],
                )
            )
            push = make_push_object_fn_protobuf(
                self.client.PushObject,
                Node(node_id=self.given.context.node_id),
                self.run_id,
                session_id=pushed.session_id,
            )
            for name in pushed.objects_to_push:
                push(name, contents[name.encode()])
            _finish(self.client, state, failed)
        except (httpx.HTTPError, ObjectPushError) as error:
            raise LostTaskError(f"the answer is not taken ({type(error).__name__})") from None


def packed(reply: Message, context: Context | None) -> Iterator[bytes]:
    """Return an answer and the client's state after it, as parts that `Task.answer` takes."""
    reply.metadata.__dict__["_message_id"] = reply.object_id
    yield message_to_proto(remove_content_from_message(reply)).SerializeToString()
    with no_object_id_recompute():
        yield get_object_tree(reply).SerializeToString()
        yield b"" if context is None else context_to_proto(context).SerializeToString()
        for name, part in get_all_nested_objects(reply).items():
            yield name.encode()
            yield part.deflate()


def _finish(client: RuntimeHttpClient, state: bytes, failed: str) -> None:
    client.PushTaskOutput(
        PushTaskOutputRequest(
            context=ProtoContext.FromString(state) if state else None,
            sub_status=SubStatus.FAILED if failed else SubStatus.COMPLETED,
            details=failed,
        )
    )


def _client(address: str, interceptor: object) -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), interceptor],
    )
