"""Targets that read whole documents: files of people, messages of the network, files of the box and of exports."""

import base64
import http.client
import io
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.app.desired_message import read_plain, truncate_reasons
from agent.app.selftest_command import SelfTestCommandHandler
from agent.base.clock import ClockTrust
from agent.base.errors import UserError
from agent.base.pem import load_authorities, load_box_certificate, load_public_key
from agent.base.signed_manifest import BadManifest, decode_manifest, decode_sums, encode_sums
from agent.capture.live_command import LiveCommandHandler
from agent.capture.snapshot_command import SnapshotCommandHandler
from agent.capture.video_target import parse_target
from agent.clips.clip_command import ClipArgs, ClipCommandHandler
from agent.clips.https_request import LinkError, Refused, receive_answer
from agent.clips.upload_target import check_target
from agent.clips.uploader import read_offset
from agent.commands.command import (
    CommandHandler,
    MalformedCommand,
    build_command_struct,
    parse_command,
)
from agent.commands.requester import CommandRejected
from agent.config import toml_decode
from agent.config.configuration import Config, iter_conflicts
from agent.config.desired_config import iter_refused_keys, merge, name_entries
from agent.config.link import LinkConfig
from agent.config.placeholders import with_placeholders
from agent.console.login import parse_challenge
from agent.detection.scene import decode_scene
from agent.diagnostics.agent_log.journal import decode_entry, select_lines, take_newest
from agent.footage.hold_command import HoldCommandHandler
from agent.footage.list_command import ListCommandHandler
from agent.footage.release_command import ReleaseCommandHandler
from agent.gpio.gpio_command import GpioCommandHandler
from agent.incident.order import MalformedOrder, order_from_claims, parse_unsigned_order
from agent.provisioning.settings import InvalidSettings, parse_settings, scrub_secrets
from agent.ptz.ptz_command import PtzCommandHandler
from agent.recording.custody.receipts import (
    GENESIS_SHA256,
    AgentStarted,
    BadReceipt,
    FootageGap,
    Receipt,
    SegmentOpened,
    ServiceAction,
    encode_receipt,
    format_line,
    parse_line,
)
from agent.recording.export.manifest import Manifest
from agent.reporting import topics
from agent.reporting.declaration.page import render_page
from agent.reporting.payloads import DeclarationMessage, HealthMessage
from agent.reporting.renewal.est_client import EstError, decode_certs_only
from agent.update.bootloader import decode_autoboot, decode_grubenv, encode_grubenv
from agent.update.feed import BadFeed, verify_feed
from agent.update.request_file import decode_request
from centre.flash.gpt import BadPartitionTable, fit_to_disk, parse_table
from tests.fuzz.target import FuzzTarget, make_work_dir
from tests.pure.command_rig import MOVE_ARGS, encode_command
from tests.pure.console_rig import make_health_report
from tests.pure.test_damaged_state import OWNERS, restore
from tests.settings_files import GOOD_SETTINGS, to_private_pem
from tests.whole.report.broker import read_doc_block

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


def check_one_line(message: object) -> None:
    """Messages reach a console, a log and the wire: each is one line, without characters that a terminal obeys."""
    assert str(message).isprintable(), f"not one printable line: {str(message)!r}"


def run_configuration(data: bytes) -> None:
    try:
        tables = toml_decode.parse_toml(data, "configuration")
    except UserError as error:
        return check_one_line(error)
    problems = list(toml_decode.iter_errors(tables, Config, "configuration"))
    config = toml_decode.convert(
        with_placeholders(tables) if problems else tables, Config, "configuration"
    )
    for line in (*problems, *iter_conflicts(config, "configuration")):
        check_one_line(line)
    return None


def run_desired_config(data: bytes) -> None:
    try:
        desired = read_plain(data).desired
    except UserError as error:
        check_one_line(truncate_reasons((str(error),))[0])
        return
    base = toml_decode.parse_toml((DOCS / "vigie.example.toml").read_bytes(), "base")
    refused = list(iter_refused_keys(base, desired))
    if not refused:
        merged = merge(base, desired, desired.scenes, {})
        refused = list(toml_decode.iter_errors(merged, Config, "base"))
    for line in truncate_reasons(tuple(name_entries(line, base) for line in refused)):
        check_one_line(line)
    desired.keys()


def run_scene(data: bytes) -> None:
    try:
        decode_scene(toml_decode.parse_toml(data, "scene"), "scene")
    except UserError as error:
        check_one_line(error)


def run_settings(data: bytes) -> None:
    try:
        parse_settings(data, "settings")
    except InvalidSettings as error:
        for problem in error.problems:
            check_one_line(problem)
        return
    scrubbed = scrub_secrets(data)
    assert scrubbed is None or not scrub_secrets(scrubbed)


@cache
def handlers() -> tuple[tuple[CommandHandler, type], ...]:
    found: tuple[Any, ...] = (
        PtzCommandHandler({}, lambda: 0),
        GpioCommandHandler(lambda *_: None),
        SnapshotCommandHandler({}, lambda *_: b"", lambda *_: None, lambda *_: None, lambda: 0),
        LiveCommandHandler({}, *(lambda *_: None for _ in range(7))),  # type: ignore[call-arg,arg-type]
        ClipCommandHandler(LINK, *(None for _ in range(5))),  # type: ignore[arg-type]
        SelfTestCommandHandler(*(lambda *_: None for _ in range(3))),  # type: ignore[call-arg]
        ListCommandHandler(None, None, None, None),  # type: ignore[arg-type] # it is only parsed
        HoldCommandHandler(None, None, None, 30),  # type: ignore[arg-type] # as above
        ReleaseCommandHandler(None, None),  # type: ignore[arg-type] # as above
    )
    return tuple((one, build_command_struct(one.name, one.args_type)) for one in found)


class _Received:
    """A connection that has received these bytes, and then its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def run_upload_answer(data: bytes) -> None:
    def get_response() -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(_Received(data), method="PATCH")  # type: ignore[arg-type]
        response.begin()
        return response

    with suppress(LinkError, Refused):
        answer = receive_answer("media.example", "PATCH", get_response)
        read_offset(answer, "https://media.example/files/1", 0, 1000)


def run_command(data: bytes) -> None:
    for handler, command_struct in handlers():
        try:
            command = parse_command(handler, command_struct, data, 1)
        except MalformedCommand as error:
            check_one_line(error)
            continue
        handler.describe(command.args)
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


def run_journal(data: bytes) -> None:
    entries = [entry for line in data.splitlines() if (entry := decode_entry(line)) is not None]
    take_newest(select_lines(reversed(entries), "info"), 1000)


def run_declaration(data: bytes) -> None:
    message = topics.decode_as(DeclarationMessage, data)
    if message is not None:
        assert "<script" not in render_page(message.data, box=message.box, time=message.time)


def message_seeds() -> Sequence[bytes]:
    health = HealthMessage(**msgspec.structs.asdict(ENVELOPE), data=make_health_report(("CAM-01",)))
    return [msgspec.json.encode(health), b"vigie/v1/pole-17/up/reply/ops/1"]


def run_receipt(data: bytes) -> None:
    with suppress(BadReceipt):
        line = parse_line(data)
        assert parse_line(format_line(line.signature, line.json)) == line


def receipt_seeds() -> Sequence[bytes]:
    bodies = (
        AgentStarted(
            public_key="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            versions={"vigie": "1.0"},
            recipients=(),
        ),
        SegmentOpened(camera="north", segment="1.mp4"),
        FootageGap(camera="north", begin_ns=1, end_ns=2, reason="the disk"),
        ServiceAction(by="amina", action="check 2"),
    )
    return [
        format_line(
            bytes(64),
            encode_receipt(
                Receipt(
                    box=BOX,
                    seq=1,
                    prev_sha256=GENESIS_SHA256,
                    boot="first",
                    t_ns=10,
                    time=TIME,
                    clock=CLOCK,
                    body=body,
                )
            ),
        )
        for body in bodies
    ]


def run_manifest(data: bytes) -> None:
    with suppress(BadManifest):
        decode_manifest("manifest.json", data, Manifest)
    with suppress(BadManifest):
        decode_sums(data)


state_dir = cache(make_work_dir)


def run_state(data: bytes) -> None:
    """The first byte selects the state file; the rest is its content."""
    name = list(OWNERS)[(data[0] if data else 0) % len(OWNERS)]
    folder, owner = state_dir() / name, OWNERS[name]
    folder.mkdir(exist_ok=True)
    path = owner.write(folder)
    restore(folder, path, data[1:])
    with suppress(*owner.errors):
        owner.read(folder)
    shutil.rmtree(folder)


def state_seeds() -> Sequence[bytes]:
    seeds = []
    for index, (name, owner) in enumerate(OWNERS.items()):
        folder = state_dir() / f"seed-{name}"
        folder.mkdir()
        seeds.append(bytes([index]) + owner.write(folder).read_bytes())
    return seeds


def run_certificate(data: bytes) -> None:
    loads: tuple[Callable[[], object], ...] = (
        lambda: load_authorities(data, "ca.pem"),
        lambda: load_box_certificate(data, BOX, "box.crt"),
        lambda: load_public_key(data, "box.key"),
    )
    for load in loads:
        try:
            load()
        except UserError as error:
            check_one_line(error)


def run_feed(data: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public_key = msgspec.json.encode(key.public_key().public_bytes_raw()).decode().strip('"')
    with suppress(BadFeed):
        verify_feed(data, public_key)
    signature = msgspec.json.encode(key.sign(data)).strip(b'"')
    with suppress(BadFeed):
        verify_feed(signature + b"\n" + data, public_key)


def run_update_request(data: bytes) -> None:
    with suppress(UserError):
        decode_request(data)


def run_boot_selection(data: bytes) -> None:
    with suppress(ValueError):
        decode_grubenv(data)
    with suppress(ValueError):
        decode_autoboot(data)


def run_partition_table(data: bytes) -> None:
    try:
        parse_table(data)
    except BadPartitionTable:
        return
    with suppress(BadPartitionTable):
        fit_to_disk(data, 1 << 34)


def run_challenge(data: bytes) -> None:
    with suppress(UserError):
        parse_challenge(data.decode("utf-8", "replace"))


DESIRED = msgspec.json.encode(
    {
        "box": BOX,
        "version": 8,
        "settings": {
            "record": {"max_age_h": 48},
            "hold": {"kinds": ["stopped"]},
            "camera": {"north": {"record": True, "detect": {"fps": 5}}},
            "head": {"mast": {"home": None, "tour": []}},
        },
        "scenes": {"north": "[[line]]", "yard": {"gate": ""}},
        "presets": {"mast": {"gate": {"pan_deg": 1, "tilt_deg": 2, "zoom": 0.5}}},
        "by": "amina",
        "role": "supervisor",
    }
)

TARGETS = {
    "configuration": FuzzTarget(
        run_configuration, lambda: [(DOCS / "vigie.example.toml").read_bytes()]
    ),
    "desired_config": FuzzTarget(run_desired_config, lambda: [DESIRED], mutations=300),
    "scene": FuzzTarget(run_scene, lambda: list(_scene_examples())),
    "settings": FuzzTarget(
        run_settings,
        lambda: [GOOD_SETTINGS.encode(), (DOCS / "vigie-settings.example.toml").read_bytes()],
    ),
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
    "est_answer": FuzzTarget(run_est_answer, lambda: [b"MIIB", bytes.fromhex("3080")]),
    "journal": FuzzTarget(
        run_journal,
        lambda: [
            (
                b'{"__REALTIME_TIMESTAMP":"1764028800000000","MESSAGE":"INFO connected"}\n'
                b'{"__REALTIME_TIMESTAMP":"1764028801000000","MESSAGE":[255,7],"PRIORITY":"3"}'
            )
        ],
    ),
    "declaration": FuzzTarget(
        run_declaration,
        lambda: [read_doc_block("wire-contract.md", "declaration").encode()],
        mutations=100,
    ),
    "receipt": FuzzTarget(run_receipt, receipt_seeds),
    "upload_answer": FuzzTarget(
        run_upload_answer,
        lambda: (
            b"HTTP/1.1 204 No Content\r\nUpload-Offset: 10\r\n\r\n",
            b"HTTP/1.1 429 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ),
    "manifest": FuzzTarget(run_manifest, lambda: [encode_sums({"a/b": "0" * 64}), b"{}"]),
    "state": FuzzTarget(run_state, state_seeds),
    "certificate": FuzzTarget(
        run_certificate,
        lambda: [to_private_pem(ec.derive_private_key(5, ec.SECP256R1())).encode()],
    ),
    "feed": FuzzTarget(run_feed, lambda: [b'{"releases":[]}']),
    "update_request": FuzzTarget(
        run_update_request, lambda: [b'{"id":"00","action":"install","requester":"amina"}']
    ),
    "boot_selection": FuzzTarget(
        run_boot_selection,
        lambda: [
            encode_grubenv({"ORDER": "A B", "A_OK": "1"}),
            b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n",
        ],
    ),
    "partition_table": FuzzTarget(run_partition_table, lambda: [bytes(34 * 512)]),
    "challenge": FuzzTarget(run_challenge, lambda: [b"casa-0001 amina 2345-6789"]),
}


def _scene_examples() -> Sequence[bytes]:
    scenes = sorted((Path(__file__).parents[2] / "centre/demo/scenes").glob("*.toml"))
    page = (Path(__file__).parents[2] / "docs/scene.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return [*(path.read_bytes() for path in scenes), *(each.encode() for each in examples)]
