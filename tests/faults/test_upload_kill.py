"""SIGKILL to the whole agent while it uploads, repeatedly: the upload continues to the byte, and its command
is answered.
"""

import hashlib
import io
import os
import random
import signal
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.clock import rfc3339
from agent.base.json_decode import JsonDecoder
from agent.base.model import CommandDone, Reply
from agent.config.broker import BrokerConfig
from agent.recording.export.verify import verify_export
from agent.reporting import topics
from agent.reporting.mqtt.packets import Puback
from agent.reporting.payloads import ReplyMessage
from tests.loopback_server import TcpProxy
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.test_footage_while_recording import wait_for_segments
from tests.whole.uploads.upload_servers import UploadServers

SEED = 20261127
IS_LONG = os.environ.get("VIGIE_CRASH") == "long"
KILLS = 50 if IS_LONG else 2
LONGEST_LIFE_S = 0.4
PART_BYTES = 5 * 1024 * 1024
SLOW_KBIT_S = 200 if IS_LONG else 400
BOX = "casa-0001"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[UploadServers]:
    folder = tmp_path / "servers"
    folder.mkdir()
    with UploadServers(folder) as servers:
        yield servers


def configure(box: AgentBox, servers: UploadServers, rate: str) -> None:
    """Write the end of the configuration again: the link's rate may have changed."""
    config = box.folder / "vigie.toml"
    text = config.read_text().partition("[record]")[0]
    config.write_text(
        f'{text}[record]\nsegment_s = 1.0\n[link]\nupload_hosts = ["localhost"]\n'
        f'ca = "{servers.ca}"\n{rate}\n'
    )


def give_command(broker: Mosquitto, args: dict[str, Any]) -> None:
    """Give the command over MQTT; returns when the broker has it."""
    operator = BareClient(BrokerConfig(url=broker.url), "operator-amina")
    command = {
        "id": "one",
        "expires": rfc3339(datetime.now(UTC) + timedelta(minutes=1)),
        "by": "amina",
        "role": "operator",
        "args": args,
    }
    operator.link.publish(
        topics.down_topic(BOX, "command/clip"),
        msgspec.json.encode(command),
        response_topic=topics.up_topic(BOX, "reply/amina"),
        correlation=b"7",
    )
    operator.wait_for(Puback)
    operator.link.abort()


def wait_for_more(proxy: TcpProxy) -> None:
    with proxy.changed:
        before = proxy.sent_bytes
        assert proxy.changed.wait_for(lambda: proxy.sent_bytes > before + 10_000, 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tus", "s3_multipart"] if IS_LONG else ["tus"])
def test_an_upload_survives_every_kill_of_the_agent(
    box: AgentBox,
    centre: RunningCentre,
    mosquitto: Mosquitto,
    servers: UploadServers,
    tmp_path: Path,
    kind: str,
) -> None:
    configure(box, servers, f"rate_kbit_s = {SLOW_KBIT_S}")
    state, rng = box.folder / "state", random.Random(SEED)
    port = servers.tus_port if kind == "tus" else servers.s3_port
    box.start()
    wait_for_segments(state, 6 + KILLS // 3)
    now = datetime.now(UTC)
    with TcpProxy(port) as proxy:
        upload = (
            {"kind": "tus", "url": servers.tus_url(proxy.port)}
            if kind == "tus"
            else servers.multipart_target("export.zip", 8, PART_BYTES, proxy.port)
        )
        args = {
            "camera": "north",
            "begin": (now - timedelta(minutes=5)).isoformat(),
            "end": (now + timedelta(minutes=5)).isoformat(),
            "form": "export",
            "purpose": "case 2026/118",
            "upload": upload,
        }
        give_command(mosquitto, args)
        for _ in range(KILLS):
            wait_for_more(proxy)
            threading.Event().wait(rng.uniform(0, LONGEST_LIFE_S))  # nothing is awaited
            assert box.stop(signal.SIGKILL) == -signal.SIGKILL
            box.start()
        box.stop(signal.SIGKILL)
        configure(box, servers, "")
        box.start()
        received = centre.wait_for(
            lambda all_: any(isinstance(done_reply(each.message), CommandDone) for each in all_),
            "reply",
        )
    (reply,) = {
        bytes(reply.result): reply
        for each in received
        if isinstance(reply := done_reply(each.message), CommandDone)
    }.values()
    assert box.stop(signal.SIGTERM) == 0
    assert reply.command == "one"
    result = JsonDecoder(dict).decode(bytes(reply.result))
    contents = servers.tus_files() if kind == "tus" else [servers.get_object("export.zip")]
    # One file: each life continues the upload of the first.
    (content,) = contents
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (
        result["sha256"],
        result["size_bytes"],
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path / "evidence")
    assert verify_export(tmp_path / "evidence" / "export").first_problem is None
    chain = b"".join(path.read_bytes() for path in sorted((state / "custody").glob("*.chain")))
    assert b"case 2026/118: export sent to localhost, SHA-256 " + result["sha256"].encode() in chain
    assert b"ticket=secret" not in chain + box.log.encode()
    assert not list((state / "uploads").glob("*.file"))


def done_reply(message: object) -> Reply | None:
    return message.data if isinstance(message, ReplyMessage) else None
