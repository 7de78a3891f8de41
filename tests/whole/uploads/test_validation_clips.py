"""The command `validation_clips`: clips drawn by chance in each light, made and uploaded as any clip."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.base.model import CommandAccepted
from agent.base.view_condition import Light
from agent.config.configuration import InstitutionConfig
from agent.config.link import LinkConfig
from agent.detection.span_light import LightSpan
from agent.recording.custody.receipts import FootageViewed, parse_line
from agent.recording.encryption.keys import generate_key_pair, parse_public_key
from tests.vectors.street import StreetBox
from tests.whole.report.reporting_box import wait_until
from tests.whole.uploads.scripted_server import ScriptedServer
from tests.whole.uploads.upload_box import BOX, UploadBox
from tests.whole.uploads.upload_servers import UploadServers

RECORDED_S = 24
DUSK_S = 12


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a box that has recorded the rendered street."""
    state = tmp_path_factory.mktemp("recorded") / "state"
    StreetBox(state, BOX).record("north", 1, RECORDED_S)
    return state


@pytest.fixture
def street(recorded: Path, tmp_path: Path) -> StreetBox:
    shutil.copytree(recorded, tmp_path / "state")
    return StreetBox(tmp_path / "state", BOX)


@pytest.fixture
def link(servers: UploadServers) -> LinkConfig:
    return LinkConfig(
        upload_hosts=("localhost",), ca=str(servers.ca), metered=True, bytes_per_day=10**9
    )


def light_of(street: StreetBox, *spans: tuple[float, float, Light]) -> tuple[LightSpan, ...]:
    return tuple(
        LightSpan(*(int(street.utc_at(second).timestamp()) for second in (begin, end)), light)
        for begin, end, light in spans
    )


def day_and_night(street: StreetBox) -> tuple[LightSpan, ...]:
    return light_of(street, (0, DUSK_S, "day"), (DUSK_S, 60, "night"))


def viewed(street: StreetBox) -> list[FootageViewed]:
    bodies = (parse_line(line).receipt.body for line in street.custody.read_lines())
    return [body for body in bodies if isinstance(body, FootageViewed)]


def put(servers: UploadServers, *keys: str) -> list[dict[str, object]]:
    return [{"kind": "put", "url": servers.presign("PUT", key)} for key in keys]


def test_a_clip_of_each_light_arrives_with_its_hash_and_its_receipt(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    with UploadBox(street, link) as box:
        box.light = day_and_night(street)
        box.send_validation(put(servers, "day", "night"))
        result = box.wait_for_drawn()
        assert [(one.id, one.address, one.light) for one in result.clips] == [
            ("one.0", 0, "day"),
            ("one.1", 1, "night"),
        ]
        for clip, key in zip(result.clips, ("day", "night"), strict=True):
            content = servers.get_object(key)
            assert clip.sha256 == hashlib.sha256(content).hexdigest()
            assert clip.size_bytes == len(content)
        assert result.footage_s == {"day": DUSK_S, "night": RECORDED_S - DUSK_S}
        (receipt,) = viewed(street)
        assert receipt.by == "amina"
        assert f"validation 2026-11: validation clips drawn with seed {result.seed}: day" in str(
            receipt.purpose
        )
        assert [(record.by, record.form) for record, _ in box.receipts] == [("amina", "light")] * 2
        dusk = street.utc_at(DUSK_S).isoformat()
        for record, _ in box.receipts:
            assert (record.begin < dusk) == (record.draw is not None and record.draw.light == "day")
        box.send_validation(put(servers, "day", "night"))
        wait_until(lambda: len(box.replies) > 3)
    stored = "".join(path.read_text() for path in (street.state / "uploads").glob("*.json"))
    assert "Signature=" not in stored


def test_another_command_draws_with_another_seed(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    tus = [{"kind": "tus", "url": servers.tus_url()}] * 2
    with UploadBox(street, link) as box:
        box.light = day_and_night(street)
        for command_id in ("one", "two"):
            box.send_validation(tus, command_id)
        seeds = {box.wait_for_drawn(command_id).seed for command_id in ("one", "two")}
    assert len(seeds) == 2


def test_a_light_without_footage_has_no_clip_and_says_so(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    with UploadBox(street, link) as box:
        box.light = light_of(street, (0, 60, "day"))
        box.send_validation(put(servers, *"abcd"), clips_per_light=2)
        result = box.wait_for_drawn()
    assert [one.light for one in result.clips] == ["day", "day"]
    assert result.footage_s["night"] == 0
    first, second = result.clips
    assert first.begin < second.begin


def test_the_clips_continue_after_a_restart_and_their_command_is_answered_once(
    street: StreetBox, servers: UploadServers, tmp_path: Path
) -> None:
    forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(tmp_path, None, forbidden) as scripted:
        both = tmp_path / "both.pem"
        both.write_bytes(scripted.ca.read_bytes() + servers.ca.read_bytes())
        both_link = LinkConfig(upload_hosts=("localhost",), ca=str(both))
        uploads = [*put(servers, "first"), {"kind": "put", "url": scripted.url}]
        with UploadBox(street, both_link) as box:
            box.light = day_and_night(street)
            box.send_validation(uploads)
            wait_until(lambda: scripted.requests)
            assert [record.id for record in box.queue.pending()] == ["one.1"]
        with UploadBox(street, both_link) as later:
            result = later.wait_for_drawn()
            assert later.replies == []
    sent, refused = result.clips
    assert sent.sha256 == hashlib.sha256(servers.get_object("first")).hexdigest()
    assert (refused.sha256, refused.failure) == (None, "localhost answers PUT with 403")


def test_a_command_whose_clips_were_not_drawn_when_the_agent_ended_is_answered_by_the_next_run(
    street: StreetBox,
) -> None:
    link = LinkConfig(upload_hosts=("localhost",))
    with UploadBox(street, link, never_turned="footage") as box:
        box.send_validation(TWO)
        wait_until(lambda: box.replies)
    assert box.replies == [CommandAccepted(command="one", verb="validation_clips")]
    stored = [path.read_text() for path in (street.state / "uploads").iterdir()]
    assert [("one" in text, "secret" in text) for text in stored] == [(True, False)]
    with UploadBox(street, link) as later:
        refusal = later.wait_for_refusal()
        later.send_validation(TWO)
        wait_until(lambda: later.replies)
    assert (refusal.code, refusal.message) == (
        "failed",
        "the agent ended before it was done: nothing was queued for upload",
    )
    assert (later.published, later.replies) == ([refusal], [refusal])
    assert list((street.state / "uploads").iterdir()) == []


def test_clips_that_all_fail_refuse_the_command(street: StreetBox, tmp_path: Path) -> None:
    refusing = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(tmp_path, refusing, refusing) as server:
        link = LinkConfig(upload_hosts=("localhost",), ca=str(server.ca))
        with UploadBox(street, link) as box:
            box.light = day_and_night(street)
            box.send_validation([{"kind": "put", "url": server.url}] * 2)
            assert "answers PUT with 403" in box.wait_for_refusal().message


ADDRESS = {"kind": "put", "url": "https://localhost/x?secret"}
TWO = [ADDRESS, ADDRESS]
REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "one address for two clips": ({"uploads": [ADDRESS]}, "malformed", "uploads"),
    "too few addresses": (
        {"uploads": TWO, "clips_per_light": 2},
        "malformed",
        "uploads: 2; allowed: 4",
    ),
    "another host": (
        {"uploads": [ADDRESS, {"kind": "put", "url": "https://evil.example/x?secret"}]},
        "forbidden",
        "upload host 'evil.example': allowed: localhost",
    ),
    "more than a day": (
        {"begin": "2026-11-25T00:00:00Z", "end": "2026-11-26T01:00:01Z"},
        "malformed",
        "allowed: a day, at most 25 h",
    ),
    "an end before its begin": (
        {"begin": "2026-11-25T02:00:00Z", "end": "2026-11-25T01:00:00Z"},
        "malformed",
        "allowed: after begin",
    ),
    "too many clips": ({"clips_per_light": 9}, "malformed", "clips_per_light"),
    "too long": ({"length_s": 601}, "malformed", "length_s"),
    "no such camera": ({"camera": "south"}, "unknown", "there are: north"),
    "no purpose": ({"purpose": ""}, "malformed", "purpose"),
    "a choice of the seed": ({"seed": 1}, "malformed", "seed"),
    "another day": (
        {"begin": "2026-11-24T00:00:00Z", "end": "2026-11-24T12:00:00Z"},
        "unknown",
        "no footage of 5 s in a known light",
    ),
}


@pytest.mark.parametrize(("changes", "code", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_wrong_is_refused_in_one_line_without_secrets(
    street: StreetBox, changes: dict[str, Any], code: str, message: str
) -> None:
    with UploadBox(street, LinkConfig(upload_hosts=("localhost",))) as box:
        box.light = day_and_night(street)
        box.send_validation(**({"uploads": TWO} | changes))
        refusal = box.wait_for_refusal()
        assert box.queue.pending() == []
    assert (refusal.code, "secret" in refusal.message) == (code, False)
    assert message in refusal.message
    assert "\n" not in refusal.message


def test_footage_of_unknown_light_is_not_drawn(street: StreetBox, link: LinkConfig) -> None:
    with UploadBox(street, link) as box:
        box.send_validation(TWO)
        assert box.wait_for_refusal().code == "unknown"


def test_a_lent_camera_is_drawn_from_for_its_viewers_only(
    street: StreetBox, link: LinkConfig
) -> None:
    policy = InstitutionConfig(owner="tram", purpose="safety", viewers=("samira",))
    with UploadBox(street, link, {"north": policy}) as box:
        box.light = day_and_night(street)
        box.send_validation(TWO, "no")
        assert box.wait_for_refusal("no").code == "forbidden"
        box.send_validation(TWO, "yes", by="samira")
        wait_until(box.queue.pending)


def test_sealed_footage_stays_sealed(tmp_path: Path, link: LinkConfig) -> None:
    public = parse_public_key(generate_key_pair(tmp_path / "centre.pem"), "the centre")
    street = StreetBox(tmp_path / "state", BOX, {"centre": public})
    street.record("north", 1, 14)
    with UploadBox(street, link) as box:
        box.light = day_and_night(street)
        box.send_validation(TWO)
        refusal = box.wait_for_refusal()
    assert (refusal.code, "sealed" in refusal.message) == ("unsupported", True)


def test_more_clips_than_may_wait_are_refused_as_a_whole(street: StreetBox, tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, None) as silent:
        link = LinkConfig(upload_hosts=("localhost",), ca=str(silent.ca))
        with UploadBox(street, link) as box:
            box.light = day_and_night(street)
            for number in range(15):
                box.send({"kind": "put", "url": silent.url}, str(number))
            box.send_validation(TWO)
            refusal = box.wait_for_refusal()
            assert (refusal.code, refusal.message) == (
                "busy",
                "15 uploads wait already; allowed: 16",
            )
            assert len(box.queue.pending()) == 15


def test_clips_that_cannot_all_be_queued_are_not_uploaded(street: StreetBox) -> None:
    uploads = street.state / "uploads"
    with UploadBox(street, LinkConfig(upload_hosts=("localhost",)), never_turned="uploads") as box:
        box.light = day_and_night(street)
        (uploads / "one.1.json").mkdir()
        box.send_validation(TWO)
        refusal = box.wait_for_refusal()
        assert box.queue.pending() == []
    assert (refusal.code, "cannot be queued" in refusal.message) == ("failed", True)
    assert [path.name for path in uploads.glob("one.*")] == ["one.1.json"]


@pytest.mark.parametrize("lost", [(), ("one.1.json",)], ids=["after the last", "between two"])
def test_a_power_cut_while_clips_are_queued_leaves_none(
    street: StreetBox, lost: tuple[str, ...]
) -> None:
    link, uploads = LinkConfig(upload_hosts=("localhost",)), street.state / "uploads"
    with UploadBox(street, link, never_turned="uploads") as box:
        box.light = day_and_night(street)
        box.send_validation(TWO)
        wait_until(box.queue.pending)
        # The state of the folder before the file of the accepted command was deleted.
        box.queue.note_accepted(box.queue.pending()[0].command)
    for name in lost:
        (uploads / name).unlink()
    with UploadBox(street, link) as later:
        assert "nothing was queued" in later.wait_for_refusal().message
        assert later.queue.pending() == []
    assert list(uploads.iterdir()) == []


def test_an_incident_gives_validation_no_priority(street: StreetBox, link: LinkConfig) -> None:
    with UploadBox(street, link) as box:
        box.light = day_and_night(street)
        box.stage.set_level("record_only")
        box.send_validation(TWO, role="incident")
        wait_until(box.queue.pending)
        assert {record.is_emergency for record in box.queue.pending()} == {False}
