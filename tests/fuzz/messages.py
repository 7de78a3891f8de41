"""Targets that read messages of the network and answers of servers."""

import base64
import io
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from agent.base.clock import ClockTrust
from agent.base.http_client import HttpClient, HttpFailed
from agent.capture.live_command import LiveCommandHandler
from agent.capture.snapshot_command import SnapshotCommandHandler
from agent.capture.video_target import parse_target
from agent.clips.clip_admission import ClipArgs
from agent.clips.clip_command import ClipCommandHandler
from agent.clips.upload_target import check_target
from agent.clips.uploader import LinkError, Refused, read_offset, receive_answer
from agent.clips.validation_clips_command import ValidationClipsCommandHandler
from agent.commands.command import (
    CommandHandler,
    MalformedCommand,
    build_command_struct,
    parse_command,
)
from agent.commands.requester import CommandRejected
from agent.config.link import LinkConfig
from agent.diagnostics.selftest.selftest_command import SelfTestCommandHandler
from agent.footage.hold_command import HoldCommandHandler
from agent.footage.list_command import ListCommandHandler
from agent.footage.release_command import ReleaseCommandHandler
from agent.gpio.gpio_command import GpioCommandHandler
from agent.incident.order import MalformedOrder, order_from_claims, parse_unsigned_order
from agent.ptz.ptz_command import PtzCommandHandler
from agent.reporting import topics
from agent.reporting.declaration.page import render_page
from agent.reporting.payloads import DeclarationMessage, HealthMessage
from agent.reporting.renewal.est_client import EstError, decode_certs_only
from agent.reporting.renewal.issued import NotUsable, select_issued
from agent.update.feed import MAX_AHEAD, MAX_VALIDITY, BadFeed, check_current, verify_feed
from tests.fuzz.target import FuzzTarget, check_one_line
from tests.parts.command_rig import MOVE_ARGS, encode_command
from tests.parts.console_rig import make_health_report
from tests.whole.report.broker import read_doc_block
from tests.whole.report.est_server import SigningAuthority, key_usage

DOCS = Path(__file__).parents[2] / "docs"
BOX = "pole-17"
LINK = LinkConfig(upload_hosts=("media.example",))
CLIP_ARGS = {
    "camera": "north",
    "begin": "2026-11-25T01:00:05Z",
    "end": "2026-11-25T01:00:11Z",
    "form": "light",
    "purpose": "case 2026/118",
    "upload": {"kind": "tus", "url": "https://media.example/files?ticket=5d"},
}
TIME = "2026-11-03T07:41:05.250Z"
FEED_TIME = datetime(2026, 12, 1, tzinfo=UTC)
CLOCK = ClockTrust(synced=True, source="ntp", error_s=0.012)
ENVELOPE = topics.EnvelopeFields(
    id="0193a8e0-7d3c-7000-8000-000000000001",
    box=BOX,
    epoch="5a0c6f7e-7f1f-4c0f-9d0b-2f3a4b5c6d7e",
    seq=42,
    boot="c0ffee00-0000-4000-8000-000000000000",
    time=TIME,
    clock=CLOCK,
)
VIDEO_HOSTS = ("media.city.example", "127.0.0.1")
UP_TOPIC = topics.UpTopic(box=BOX, kind="health", sublevels=())


@cache
def handlers() -> tuple[tuple[CommandHandler, type], ...]:
    found: tuple[Any, ...] = (
        PtzCommandHandler({}, lambda: 0),
        GpioCommandHandler(lambda *_: None),
        SnapshotCommandHandler({}, lambda *_: b"", lambda *_: None, lambda *_: None, lambda: 0),
        LiveCommandHandler({}, *(lambda *_: None for _ in range(7))),  # type: ignore[call-arg,arg-type]
        ClipCommandHandler(None, None, None),  # type: ignore[arg-type] # it is only parsed
        ValidationClipsCommandHandler(*(None for _ in range(7))),  # type: ignore[arg-type]
        SelfTestCommandHandler(*(lambda *_: None for _ in range(3))),  # type: ignore[call-arg]
        ListCommandHandler(None, None, None, None),  # type: ignore[arg-type] # it is only parsed
        HoldCommandHandler(None, None, None, 30),  # type: ignore[arg-type] # as above
        ReleaseCommandHandler(None, None),  # type: ignore[arg-type] # as above
    )
    return tuple((one, build_command_struct(one.command.verb, one.command.args)) for one in found)


class _Received(socket.socket):
    """A connection that has received these bytes, and then its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def sendall(self, *_: Any) -> None:
        pass

    def recv(self, size_bytes: int, _flags: int = 0) -> bytes:
        return self._data.read(size_bytes)


TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def run_upload_answer(data: bytes) -> None:
    client = HttpClient(TLS, 60.0, lambda _server, _timeout_s: _Received(data))
    with suppress(HttpFailed, LinkError, Refused):
        with client.request("PATCH", "http://media.example/files/1", {}) as response:
            answer = receive_answer("media.example", "PATCH", response)
        read_offset(answer, "https://media.example/files/1", 0, 1000)


def run_command(data: bytes) -> None:
    for handler, command_struct in handlers():
        try:
            command = parse_command(handler.command, command_struct, data, 1)
        except MalformedCommand as error:
            check_one_line(error)
            continue
        handler.command.describe(command.args)
        handler.priority_lane(command.args)
        if isinstance(command.args, ClipArgs):
            with suppress(CommandRejected):
                check_target(command.args.upload, LINK.upload_hosts)


def run_video_target(data: bytes) -> None:
    try:
        target = parse_target(data.decode("utf-8", "surrogateescape"), VIDEO_HOSTS)
    except CommandRejected as error:
        check_one_line(error)
        return
    assert target.host in VIDEO_HOSTS
    assert target.url.isascii()
    assert target.url.isprintable()


def run_incident(data: bytes) -> None:
    try:
        signed = parse_unsigned_order(data)
    except MalformedOrder as error:
        check_one_line(error)
        return
    signed.order.to.include(BOX, "site", ("group",))
    if signed.order.heads is not None:
        signed.order.heads.preset_of(BOX, "mast")
    encoded = msgspec.json.encode(signed.order)
    assert order_from_claims(msgspec.json.decode(encoded)) == signed.order


def incident_seeds() -> Sequence[bytes]:
    page = (DOCS / "wire-contract.md").read_text()
    return [page.partition("```json IncidentReport\n")[2].partition("\n")[0].encode()]


def run_message(data: bytes) -> None:
    with suppress(ValueError):
        topics.decode(UP_TOPIC, data, {})
    topics.decode_envelope(UP_TOPIC, data, {})
    properties = dict.fromkeys(("v", "seq", "clock", "data", "box", "id"), data.decode("latin-1"))
    with suppress(ValueError):
        topics.decode(msgspec.structs.replace(UP_TOPIC, kind="snapshot"), b"", properties)
    topic = topics.parse_up_topic(data.decode("utf-8", "replace"))
    assert topic is None or topic.box
    chosen = topics.choose_reply_topic(BOX, data.decode("utf-8", "replace"))
    assert chosen == "reply" or chosen.startswith("reply/")


def run_est_answer(data: bytes) -> None:
    with suppress(EstError):
        decode_certs_only("https://est", "application/pkcs7-mime", data)
    with suppress(EstError):
        decode_certs_only("https://est", "application/pkcs7-mime", base64.encodebytes(data))


REQUEST_KEY = ec.derive_private_key(17, ec.SECP256R1())
BOX_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, BOX)])


@cache
def renewal_authority() -> SigningAuthority:
    key = ec.derive_private_key(18, ec.SECP256R1())
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage("key_cert_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )
    return SigningAuthority(certificate, key)


@cache
def present_certificate() -> x509.Certificate:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return x509.CertificateBuilder(
        BOX_NAME, BOX_NAME, REQUEST_KEY.public_key(), 1, begin, begin + timedelta(days=1)
    ).sign(REQUEST_KEY, hashes.SHA256())


def run_renewed_certificate(data: bytes) -> None:
    try:
        answer = decode_certs_only(
            "https://est", "application/pkcs7-mime", base64.encodebytes(data)
        )
    except EstError:
        return
    authorities = [renewal_authority().certificate]
    now = answer[0].not_valid_before_utc if answer else datetime.now(UTC)
    try:
        select_issued(answer, REQUEST_KEY, present_certificate(), BOX, authorities, now)
    except NotUsable as error:
        check_one_line(error)


def renewed_certificate_seeds() -> Sequence[bytes]:
    request = x509.CertificateSigningRequestBuilder(BOX_NAME).sign(REQUEST_KEY, hashes.SHA256())
    authority, intermediate = renewal_authority(), renewal_authority().make_intermediate("street")
    answers = ([authority.sign(request)], [intermediate.sign(request), intermediate.certificate])
    return [pkcs7.serialize_certificates(answer, Encoding.DER) for answer in answers]


def run_declaration(data: bytes) -> None:
    message = topics.decode_as(DeclarationMessage, data)
    if message is not None:
        assert "<script" not in render_page(message.data, box=message.box, time=message.time)


def message_seeds() -> Sequence[bytes]:
    health = HealthMessage(**msgspec.structs.asdict(ENVELOPE), data=make_health_report(("CAM-01",)))
    return [msgspec.json.encode(health), b"vigie/v1/pole-17/up/reply/ops/1"]


def run_feed(data: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public_key = msgspec.json.encode(key.public_key().public_bytes_raw()).decode().strip('"')
    with suppress(BadFeed):
        verify_feed(data, public_key)
    signature = msgspec.json.encode(key.sign(data)).strip(b'"')
    with suppress(BadFeed):
        signed_feed = verify_feed(signature + b"\n" + data, public_key)
        check_current(signed_feed, FEED_TIME, FEED_TIME)
        assert FEED_TIME <= signed_feed.issued <= FEED_TIME + MAX_AHEAD
        assert FEED_TIME < signed_feed.expires <= FEED_TIME + MAX_AHEAD + MAX_VALIDITY


TARGETS = {
    "command": FuzzTarget(
        run_command,
        lambda: [
            encode_command(MOVE_ARGS),
            encode_command(CLIP_ARGS),
            encode_command({"camera": "north", "width": 640}),
            encode_command({"pin": "lamp", "on": True, "for_s": 3}),
            encode_command({"do": "footage", "camera": "north", "begin": TIME, "end": TIME}),
            encode_command(
                {"camera": "north", "begin": TIME, "end": TIME, "case": "1", "reason": "2"}
            ),
        ],
    ),
    "video_target": FuzzTarget(
        run_video_target,
        lambda: [
            b"rtsps://box:p%40ss@media.city.example:8322/pole-17/north",
            b"rtsp://127.0.0.1:8554/a",
        ],
    ),
    "incident": FuzzTarget(run_incident, incident_seeds),
    "message": FuzzTarget(run_message, message_seeds),
    "declaration": FuzzTarget(
        run_declaration,
        lambda: [read_doc_block("wire-contract.md", "declaration").encode()],
        mutations=100,
    ),
    "est_answer": FuzzTarget(run_est_answer, lambda: [b"MIIB", bytes.fromhex("3080")]),
    "renewed_certificate": FuzzTarget(run_renewed_certificate, renewed_certificate_seeds),
    "upload_answer": FuzzTarget(
        run_upload_answer,
        lambda: (
            b"HTTP/1.1 204 No Content\r\nUpload-Offset: 10\r\n\r\n",
            b"HTTP/1.1 429 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ),
    "feed": FuzzTarget(
        run_feed,
        lambda: [read_doc_block("update.md", "feed").encode(), b'{"releases":[]}'],
    ),
}
