"""agent.reporting.mqtt.unstored: the newest of each topic, pictures in turn and of a size that the link takes."""

from agent.reporting import outgoing_messages
from agent.reporting.mqtt.unstored import (
    FIRST_PICTURE_BYTES,
    MAX_PICTURE_BYTES,
    MIN_PICTURE_BYTES,
    UnstoredMessages,
)
from agent.reporting.outgoing_messages import OutgoingMessage
from tests.parts.test_health_file import REPORT


class Waiting:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.wakes = 0
        self.messages = UnstoredMessages(lambda: self.now_s, self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def picture(self, camera: str = "north", size_bytes: int = 1000) -> None:
        t_ns = int(self.now_s * 1e9)
        self.messages.put(outgoing_messages.build_live_message(camera, bytes(size_bytes), t_ns))

    def pop_camera(self) -> str | None:
        outgoing = self.messages.pop_picture()
        return None if outgoing is None else outgoing.topic.removeprefix("live/")


def report(t_s: float) -> OutgoingMessage:
    return outgoing_messages.build_health_message(REPORT, int(t_s * 1e9), 600)


def test_a_newer_message_of_a_topic_replaces_the_waiting_one() -> None:
    waiting = Waiting()
    waiting.picture(size_bytes=1)
    waiting.picture(size_bytes=2)
    assert waiting.wakes == 2
    assert waiting.messages.is_waiting("live/north")
    outgoing = waiting.messages.pop_picture()
    assert outgoing is not None
    assert len(outgoing.data) == 2
    assert waiting.messages.pop_picture() is None


def test_reports_and_pictures_are_sent_each_in_their_own_time() -> None:
    waiting = Waiting()
    waiting.picture()
    waiting.messages.put(report(100.0))
    sent = waiting.messages.pop_report()
    assert sent is not None
    assert sent.type == "health"
    assert waiting.messages.pop_report() is None
    assert waiting.pop_camera() == "north"


def test_cameras_take_turns() -> None:
    waiting = Waiting()
    waiting.picture("a")
    waiting.picture("b")
    assert waiting.pop_camera() == "a"
    waiting.picture("a")
    waiting.picture("b")
    assert [waiting.pop_camera(), waiting.pop_camera()] == ["b", "a"]


def test_an_old_picture_is_not_sent() -> None:
    waiting = Waiting()
    waiting.picture("old")
    waiting.now_s += outgoing_messages.LIVE_EXPIRY_S
    waiting.picture("new")
    assert waiting.pop_camera() == "new"
    assert waiting.pop_camera() is None


def test_a_picture_of_a_look_that_has_ended_is_discarded() -> None:
    waiting = Waiting()
    waiting.picture()
    waiting.messages.discard("live/north")
    waiting.messages.discard("live/south")
    assert waiting.pop_camera() is None


def test_a_picture_takes_half_a_second_of_the_link() -> None:
    waiting = Waiting()
    assert waiting.messages.picture_limit_bytes == FIRST_PICTURE_BYTES
    for seconds, limit_bytes in (
        (0.5, 10_000),
        (0.01, MAX_PICTURE_BYTES),
        (9.0, MIN_PICTURE_BYTES),
    ):
        waiting.picture(size_bytes=10_000)
        assert waiting.pop_camera() == "north"
        waiting.now_s += seconds
        assert waiting.pop_camera() is None
        assert waiting.messages.picture_limit_bytes == limit_bytes
    waiting.messages.begin_connection()
    assert waiting.messages.picture_limit_bytes == FIRST_PICTURE_BYTES
