"""The socket of the act server: reads requests, runs each act in its lane, writes its receipt before, and replies."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_stamp
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.message import Message, message_of
from agent.base.model import RefusalCode
from agent.base.token_bucket import TokenBucket
from agent.config.desired_store import layer_file
from agent.console.act_wire import (
    LIST_ACTS,
    ActError,
    ActErrorCode,
    ActReply,
    ActRequest,
)
from agent.console.acts.act import Act, ActCall, ActState, Download, Lane, Lines, Picture, Upload
from agent.console.acts.act_table import ACTS
from agent.console.context import ConsoleContext
from agent.console.errors import AgentDown, ConsoleError
from agent.console.messages import render
from agent.console.terminal import sanitize
from agent.faults.texts import Language
from agent.runtime.local_server import LocalRequest, LocalServer, ServerLimits
from agent.runtime.stage import IDLE_WAIT_S
from drivers.errors import DriverError
from drivers.local_wire import MalformedMessage, MessageDecoder

log = logging.getLogger(__name__)

LIMITS = ServerLimits(
    # More than the web process calls at once, with an act in each lane that it no longer waits for.
    max_clients=24,
    max_request_bytes=1 << 17,
    request_timeout_s=5.0,
)
"""Each reply is to be taken within `request_timeout_s` too."""
LANE_WAIT_S = 15.0
RECEIPTS_PER_S, RECEIPT_BURST = 1.0, 60.0
"""Acts with a receipt: no phone, and no process of the page that a phone has taken over, fills the custody log."""
_REQUEST_DECODER = MessageDecoder(ActRequest)


class LaneBusy(Exception):
    """Another act of the lane takes too long."""


class _Lane:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.context: ConsoleContext | None = None
        self.stamp: object = None


class Lanes:
    """All lanes: the acts of one run one after the other, with a console's context of its own. Thread-safe.

    `make_context` reads the configuration in force, again after each change of the file `config` and of the version
    on top of it.
    """

    def __init__(self, config: Path, make_context: Callable[[], ConsoleContext]) -> None:
        self._config = config
        self._make_context = make_context
        self._lanes: dict[Lane, _Lane] = {name: _Lane() for name in get_args(Lane)}

    @contextmanager
    def enter(self, name: Lane, timeout_s: float) -> Iterator[ConsoleContext]:
        """Yield the context of a lane, which belongs to the caller until the end. Raises LaneBusy."""
        lane = self._lanes[name]
        if not lane.lock.acquire(timeout=timeout_s):
            raise LaneBusy
        try:
            if lane.context is None or lane.stamp != self._read_stamp(lane.context.state_dir):
                lane.context = self._make_context()
                lane.stamp = self._read_stamp(lane.context.state_dir)
            yield lane.context
        finally:
            lane.lock.release()

    @contextmanager
    def hold(self, name: Lane) -> Iterator[None]:
        """Wait for a lane, and keep its acts out until the end."""
        with self._lanes[name].lock:
            yield

    def _read_stamp(self, state_dir: Path) -> object:
        """Return a value that differs after a change of the configuration or of the version on top of it."""
        return tuple(map(read_stamp, (self._config, layer_file(state_dir))))


class ActListener:
    """The listening socket. `run` serves it in the caller's thread, each act in one of its own."""

    def __init__(
        self, path: Path, lanes: Lanes, state: ActState, clock_ns: Callable[[], int]
    ) -> None:
        """Bind the socket; one that an earlier server has left is replaced. Raises OSError."""
        self._lanes = lanes
        self._state = state
        self._receipts = TokenBucket(RECEIPTS_PER_S, RECEIPT_BURST, clock_ns())
        self._receipts_lock = threading.Lock()
        self._clock_ns = clock_ns
        self._ended = threading.Event()
        # Its folder is the gate: user namespaces hide the user at the other end.
        self._server = LocalServer(path, 0o666, LIMITS, clock_ns, self._start, _refusal)
        self._server.open()

    def run(self) -> None:
        """Serve until `end`, and remove the socket."""
        while not self._ended.is_set():
            self._server.run_once(IDLE_WAIT_S)
        self._server.close()

    def end(self) -> None:
        """End `run`. Thread-safe."""
        self._ended.set()
        self._server.wake()

    def _start(self, request: LocalRequest, message: bytes) -> None:
        request.send_timeout_s = LIMITS.request_timeout_s
        threading.Thread(target=self._serve, args=(request, message), daemon=True).start()

    def _serve(self, request: LocalRequest, message: bytes) -> None:
        reply = _Replies(request)
        try:
            self._run(_REQUEST_DECODER.decode(message), request.fds, reply)
        except (MalformedMessage, MalformedJson) as error:
            reply.refuse("malformed", str(error))
        except _PeerGone:
            log.info("acts: a request is not answered: its client has gone")
        finally:
            # An act that fails in a way of its own is answered too.
            reply.end()
            request.close_files()

    def _run(self, request: ActRequest, fds: list[int], reply: "_Replies") -> None:
        """Run an act. Raises MalformedJson and _PeerGone."""
        reply.language = request.language
        if request.act == LIST_ACTS:
            reply.send({name: act.kind for name, act in ACTS.items()})
            return
        act = ACTS.get(request.act)
        if act is None:
            reply.refuse("unknown", f"act {request.act[:40]!r}: there is none of that name")
            return
        max_bytes = act.upload_max_bytes
        if request.upload_bytes > max_bytes or bool(fds) != bool(max_bytes):
            reply.refuse("malformed", f"the file: allowed: {max_bytes} bytes at most")
            return
        args = decode_json(request.args, act.args_type)
        try:
            with self._lanes.enter(act.lane, LANE_WAIT_S) as context:
                context.session_language = request.language
                upload = Upload(fd=fds[0], size_bytes=request.upload_bytes) if fds else None
                call = ActCall(context=context, state=self._state, upload=upload)
                self._run_in_lane(act, call, args, reply)
        except LaneBusy:
            reply.refuse("busy", Message("another act takes longer: try again"))

    def _run_in_lane(
        self, act: Act[Any, Any], call: ActCall, args: msgspec.Struct, reply: "_Replies"
    ) -> None:
        words = act.format_receipt(call, args)
        if words is not None and not self._may_write_receipt():
            reply.refuse("busy", Message("too many acts in a row: try again in a few seconds"))
            return
        if words is not None and not _write_receipt(call.context, words, reply):
            return
        try:
            reply.send_result(act(call, args))
        except AgentDown as error:
            reply.refuse("agent_down", message_of(error))
        except ConsoleError as error:
            reply.refuse("refused", message_of(error), error.code)
        except UserError as error:
            reply.refuse("refused", message_of(error))
        except DriverError as error:
            reply.refuse("failed", str(error))
        except OSError as error:
            reply.refuse("failed", f"{error.filename or ''} {error.strerror or error}".strip())

    def _may_write_receipt(self) -> bool:
        with self._receipts_lock:
            return self._receipts.take(self._clock_ns()) == 0


class _PeerGone(Exception):
    """The other end takes no reply."""


class _Replies:
    """The replies to one request, with their texts in `language`."""

    def __init__(self, request: LocalRequest) -> None:
        self._request = request
        self._is_answered = False
        self.language: Language = "en"

    def send(self, value: object, *, jpeg: bytes = b"", fd: int | None = None) -> None:
        """Send a value, with a picture or an open file. Raises _PeerGone."""
        encoded = msgspec.json.encode(value, enc_hook=self._encode_text)
        self._is_answered = True
        if not self._request.reply(ActReply(value=encoded, jpeg=jpeg), is_last=False, fd=fd):
            raise _PeerGone

    def send_result(self, result: object) -> None:
        """Send the result of an act. Raises _PeerGone, and what the act raises between its values."""
        if isinstance(result, Lines):
            for value in result.values:
                self.send(value)
        elif isinstance(result, Picture):
            self.send(result.value, jpeg=result.jpeg)
        elif isinstance(result, Download):
            try:
                self.send(result.value, fd=result.fd)
            finally:
                os.close(result.fd)
        else:
            self.send(result)

    def refuse(self, code: ActErrorCode, message: Message | str, fault: str | None = None) -> None:
        """Send an error as the last reply."""
        error = ActError(code=code, message=self._encode_text(message), fault=fault)
        self._request.reply(ActReply(error=error))

    def end(self) -> None:
        """Close the connection, after an error if there was no reply at all."""
        if not self._is_answered:
            self.refuse("failed", "the act server failed at it")
        self._request.close()

    def _encode_text(self, value: object) -> str:
        if isinstance(value, Message | str):
            return render(value, self.language, lambda text: sanitize(text, utf8=True))
        raise NotImplementedError(f"{type(value).__name__} in a reply")


def _write_receipt(context: ConsoleContext, words: str, reply: _Replies) -> bool:
    """Write the receipt of an act; False, with a refusal, if it cannot be written."""
    try:
        context.write_receipt(f"page: {words}")
    except ConsoleError as error:
        log.error("acts: %s: no receipt: %s", words, error)
        reply.refuse("no_receipt", Message("It is not done without a receipt."), error.code)
        return False
    return True


def _refusal(code: RefusalCode, message: str) -> ActReply:
    return ActReply(error=ActError(code="busy" if code == "busy" else "malformed", message=message))
