"""The command `live` on a real agent: pictures over a real broker, video to a real RTSP server over TLS."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from agent.base.model import CommandAccepted, CommandDone, CommandProgress, CommandRefused, Reply
from agent.config.broker import BrokerConfig
from agent.recording.custody.receipts import FootageViewed, parse_line
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import HealthMessage, ReplyMessage
from centre.client import ReceivedMessage
from drivers.masking import MASK_LUMA
from tests.child_processes import child_commands
from tests.contracts.video_receiver import VideoServer, skip_without_server
from tests.server_certificate import ServerCertificate
from tests.whole.command_box import CommandOperator
from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox, RunningCentre, fake_camera_toml

BOX = "casa-0001"
LIVE_TOPIC = topics.up_topic(BOX, "live/north")
LEFT_HALF_MASKED = """
[[mask]]
polygon = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
"""
LINK = """
[link]
upload_hosts = ["localhost"]
ca = "{ca}"
"""
Luma = npt.NDArray[np.uint8]


class Looker(CommandOperator):
    """An operator that looks: replies and pictures in the order in which they come."""

    def __init__(self, broker: BrokerConfig, name: str = "amina") -> None:
        super().__init__(broker, name, BOX)
        self.link.subscribe([topics.up_topic(BOX, "live/+")])
        self.wait_for(Suback)
        self.pictures: list[tuple[ReceivedPublish, Luma]] = []

    def next_reply(self, command_id: str) -> Reply:
        """The next reply to a command; pictures that come before it are kept."""
        while True:
            received = self._next()
            if received is not None and received.correlation == command_id.encode():
                return msgspec.json.decode(received.payload, type=ReplyMessage).data

    def next_picture(self) -> Luma:
        """The next picture; replies that come before it are lost."""
        count = len(self.pictures)
        while len(self.pictures) == count:
            self._next()
        return self.pictures[-1][1]

    def _next(self) -> ReceivedPublish | None:
        """The next message, or None for a picture, which is kept."""
        received = self.wait_for(ReceivedPublish)
        assert isinstance(received, ReceivedPublish)
        if received.topic != LIVE_TOPIC:
            return received
        luma = cv2.imdecode(np.frombuffer(received.payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        self.pictures.append((received, np.asarray(luma, np.uint8)))
        return None

    def last_reply(self, command_id: str) -> Reply:
        while isinstance(reply := self.next_reply(command_id), CommandAccepted | CommandProgress):
            pass
        return reply

    def ended(self, command_id: str) -> list[dict[str, Any]]:
        """The looks that a command has ended, its own at last."""
        reply = self.last_reply(command_id)
        assert isinstance(reply, CommandDone), reply
        ended: list[dict[str, Any]] = msgspec.json.decode(reply.result)["ended"]
        return ended


@pytest.fixture
def lookers(mosquitto: Mosquitto) -> Iterator[Callable[..., Looker]]:
    made: list[Looker] = []

    def come(name: str = "amina") -> Looker:
        made.append(Looker(BrokerConfig(url=mosquitto.url), name))
        return made[-1]

    yield come
    for looker in made:
        looker.link.abort()


@pytest.fixture
def certificate(tmp_path: Path) -> ServerCertificate:
    skip_without_server()
    return ServerCertificate(tmp_path / "certificate")


@pytest.fixture
def servers(tmp_path: Path, certificate: ServerCertificate) -> Iterator[Callable[[], VideoServer]]:
    started: list[VideoServer] = []

    def start() -> VideoServer:
        started.append(VideoServer(tmp_path / "received", certificate))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def masked_box(
    mosquitto: Mosquitto, centre: RunningCentre, tmp_path: Path
) -> Iterator[Callable[..., AgentBox]]:
    """Starts a box whose camera has the left half of its picture masked."""
    boxes: list[AgentBox] = []

    def start(extra: str = "", camera: str = "") -> AgentBox:
        box = AgentBox(
            tmp_path / "box", mosquitto.url, camera or fake_camera_toml("fps = 10"), detect_fps=1
        )
        boxes.append(box)
        (box.folder / "scene.toml").write_text(LEFT_HALF_MASKED)
        file = box.folder / "vigie.toml"
        file.write_text(file.read_text() + extra)
        box.start()
        centre.wait_for(lambda received: any(map(is_watching, received)), "open camera")
        return box

    yield start
    for box in boxes:
        box.kill()


def is_watching(item: ReceivedMessage) -> bool:
    """Whether it is the health report of a box whose camera delivers."""
    return isinstance(item.message, HealthMessage) and item.message.data.cameras[0].open


def check_masked(luma: Luma) -> None:
    """The left half is the mask, and the right half a street."""
    width = luma.shape[1]
    hidden = luma[:, : int(width * 0.48)].astype(int)
    assert np.abs(hidden - MASK_LUMA).max() <= 12
    assert luma[:, int(width * 0.55) :].std() > 10


def views(box: AgentBox) -> list[FootageViewed]:
    """The receipts of looks in the box's chain, in order."""
    lines = b"".join(
        file.read_bytes() for file in sorted((box.folder / "state/custody").glob("*.chain"))
    ).splitlines()
    bodies = [parse_line(line).receipt.body for line in lines]
    return [body for body in bodies if isinstance(body, FootageViewed)]


def test_pictures_are_masked_and_end_with_the_look(
    masked_box: Callable[..., AgentBox], lookers: Callable[..., Looker]
) -> None:
    box, amina = masked_box(), lookers()
    amina.send({"do": "pictures", "camera": "north", "for_s": 5.0, "per_s": 2.0}, "1", verb="live")
    assert isinstance(amina.next_reply("1"), CommandAccepted)
    (ended,) = amina.ended("1")
    assert (ended["form"], ended["reason"]) == ("pictures", "expired")
    assert 4 <= len(amina.pictures) <= ended["sent"] <= 11
    for received, luma in amina.pictures:
        check_masked(luma)
        header = topics.decode(
            topics.UpTopic(box=BOX, kind="live", sublevels=("north",)),
            received.payload,
            dict(received.properties),
        )
        assert header.seq is None
        assert header.data.size_bytes == len(received.payload)  # type: ignore[union-attr]
    amina.send({"do": "pictures", "camera": "north"}, "2", verb="live")
    amina.next_picture()
    amina.send({"do": "stop", "camera": "north"}, "3", verb="live")
    (stopped,) = amina.ended("3")
    assert stopped["reason"] == "stopped"
    assert box.stop(signal.SIGTERM) == 0
    begin, end, begin_2, end_2 = views(box)
    assert {view.by for view in (begin, end, begin_2, end_2)} == {"amina"}
    assert begin.purpose == "a live look begins: pictures"
    assert end.purpose.startswith(
        f"a live look has ended (expired): pictures, {ended['sent']} sent, "
    )
    assert end.begin_time == begin.begin_time
    assert end.end_time >= begin.end_time
    assert end_2.end_time < begin_2.end_time
    assert "stopped" in end_2.purpose


def test_video_is_masked_as_recorded_and_ends_with_the_look_the_server_and_the_agent(
    masked_box: Callable[..., AgentBox],
    lookers: Callable[..., Looker],
    servers: Callable[[], VideoServer],
    certificate: ServerCertificate,
) -> None:
    server = servers()
    box, amina = masked_box(LINK.format(ca=certificate.ca)), lookers()
    where = f"localhost:{server.port}"

    def look(command_id: str, name: str = "a", **args: Any) -> None:
        url = f"rtsps://box:s3cret@{where}/{name}"
        video = {"do": "video", "camera": "north", "to": url, **args}
        amina.send(video, command_id, verb="live")

    def wait_for_video(name: str = "a") -> None:
        before_bytes = server.received_bytes(name)
        wait_until(lambda: server.received_bytes(name) > before_bytes + 20_000, TIMEOUT_S)

    look("1", for_s=30.0)
    assert isinstance(amina.next_reply("1"), CommandAccepted)
    progress = amina.next_reply("1")
    assert isinstance(progress, CommandProgress)
    assert progress.detail == f"video is sent to {where}"
    wait_for_video()
    look("2", for_s=60.0)
    (extended,) = amina.ended("1")
    assert extended["reason"] == "extended"
    wait_for_video()
    amina.send({"do": "stop", "camera": "north"}, "3", verb="live")
    (stopped,) = amina.ended("3")
    assert (stopped["form"], stopped["reason"]) == ("video", "stopped")
    assert extended["sent"] > 0
    planes = server.luma_planes()
    assert len(planes) > 5
    for luma in planes:
        check_masked(luma)
    # The server is killed: the look ends, and the box records on.
    look("4", "b")
    wait_for_video("b")
    server.kill()
    (failed,) = amina.ended("4")
    assert failed["reason"] == "server"
    look("5", "b")
    refused = amina.last_reply("5")
    assert isinstance(refused, CommandRefused)
    assert refused.code == "unavailable"
    assert refused.message == f"video server {where}: no server listens there"
    assert box.stop(signal.SIGTERM) == 0
    purposes = [view.purpose for view in views(box)]
    assert purposes[0] == f"a live look begins: video to {where}"
    assert sum("begins" in purpose for purpose in purposes) == 4
    assert sum("has ended" in purpose for purpose in purposes) == 4
    assert "s3cret" not in "".join(purposes) + box.log + refused.message
    assert "Traceback" not in box.log


def test_a_killed_agent_pushes_nothing_more(
    masked_box: Callable[..., AgentBox],
    lookers: Callable[..., Looker],
    servers: Callable[[], VideoServer],
    certificate: ServerCertificate,
) -> None:
    server = servers()
    box, amina = masked_box(LINK.format(ca=certificate.ca)), lookers()
    url = f"rtsps://localhost:{server.port}/a"
    amina.send({"do": "video", "camera": "north", "to": url}, "1", verb="live")
    wait_until(lambda: server.received_bytes() > 20_000, TIMEOUT_S)
    group = [box.pid, *_descendants(box.pid)]
    assert len(group) >= 3
    box.stop(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in group), TIMEOUT_S)
    (begin,) = views(box)
    assert begin.end_time > begin.begin_time


def test_video_without_its_masks_is_refused_and_a_look_ends_with_the_connection(
    masked_box: Callable[..., AgentBox],
    lookers: Callable[..., Looker],
    mosquitto: Mosquitto,
    tmp_path: Path,
    certificate: ServerCertificate,
) -> None:
    write_street_clip(tmp_path / "street.mp4", 4.0)
    camera = f'driver = "replay"\n[camera.options]\npath = "{tmp_path / "street.mp4"}"\nloop = true'
    # The camera is recorded and not watched: its pictures are keyframes, decoded for the look.
    extra = "enabled = false\n" + LINK.format(ca=certificate.ca)
    box, amina = masked_box(extra, camera), lookers()

    def refusal(number: str, url: str) -> CommandRefused:
        amina.send({"do": "video", "camera": "north", "to": url}, number, verb="live")
        reply = amina.last_reply(number)
        assert isinstance(reply, CommandRefused)
        return reply

    unmasked = refusal("1", "rtsps://localhost:8322/a")
    assert unmasked.code == "forbidden"
    assert "its masks are not in its video" in unmasked.message
    elsewhere = refusal("2", "rtsps://box:s3cret@camera.lan/a")
    assert elsewhere.code == "forbidden"
    assert "s3cret" not in elsewhere.message
    amina.send({"do": "pictures", "camera": "north"}, "3", verb="live")
    for _ in range(2):
        check_masked(amina.next_picture())
    assert "s3cret" not in box.log
    mosquitto.stop(signal.SIGKILL)
    wait_until(lambda: len(views(box)) == 2, TIMEOUT_S)
    assert views(box)[1].purpose.startswith("a live look has ended (disconnected): pictures")


def _descendants(pid: int) -> list[int]:
    """The processes below a process."""
    return [found for child in child_commands(pid) for found in (child, *_descendants(child))]
