"""Acts of the page at the pole: each has the values that the console prints, on a real box with a real agent."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from agent.__main__ import main
from agent.capture.day_night import DayNightRequest, DayNightState, request_day_night
from agent.config.desired_store import DESIRED_DIR
from agent.console.acts.act_table import ACTS
from agent.console.errors import ConsoleError
from agent.diagnostics.commissioning import certificate
from agent.faults.texts import Language
from agent.recording.custody.receipts import FootageViewed
from tests.free_port import free_port
from tests.machine_tree import FakeProcFs
from tests.whole.act_box import ActFailed, ActServer
from tests.whole.act_values import (
    CONTRACT,
    comparable,
    is_painted,
    mean,
    page_actions,
    photo_of_a_phone,
    receipts,
)
from tests.whole.pole_page_box import Phone, PolePageBox, make_root, without_isolates
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import AgentBox
from tests.whole.technician import ConsoleTechnician, write_console_secret

PIN = """
[gpio]
driver = "fake"
[[pin]]
name = "filter"
kind = "ir_cut"
pin = 16
camera = "north"
"""
HEAD = """
[[head]]
name = "mast"
driver = "fake"
[[head.tour]]
name = "round"
[[head.tour.stop]]
preset = "gate"
"""
LINE = '[[line]]\nname = "stop line"\nfrom = [0.1, 0.5]\nto = [0.9, 0.5]\n'
MASK = "[[mask]]\npolygon = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]\n"
NEWER_MASK = "[[mask]]\npolygon = [[0.5, 0.6], [0.9, 0.6], [0.9, 0.9], [0.5, 0.9]]\n"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentBox]:
    """A box whose agent runs, with a camera and a head, and a broker. Its eMMC is worn: it has a fault."""
    folder = tmp_path_factory.mktemp("pole")
    for name in ("broker", "box"):
        (folder / name).mkdir()
    broker = Mosquitto(folder / "broker")
    machine = FakeProcFs(folder / "box/machine", folder / "box")
    machine.write_file(f"{machine.disk}/device/life_time", "0x01 0x0a")
    box = AgentBox(folder / "box", broker.url, detect_fps=1)
    file = box.folder / "vigie.toml"
    file.write_text(file.read_text() + HEAD + PIN)
    write_console_secret(box.folder)
    box.start()
    yield box
    box.kill()
    broker.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def acts(box: AgentBox) -> Iterator[ActServer]:
    server = ActServer(box.folder)
    assert server.first_line == "ready"
    wait_until(lambda: server.value("status")["is_current"])
    wait_until(lambda: "STO-07" in {one["code"] for one in server.value("faults")["faults"]})
    yield server
    assert server.close() == 0


@pytest.fixture(scope="module")
def console(box: AgentBox, acts: ActServer) -> Iterator[ConsoleTechnician]:
    assert acts
    technician = ConsoleTechnician(box.folder)
    technician.log_in()
    technician.run_command("pages off")
    yield technician
    technician.unplug()


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
@pytest.mark.parametrize(("line", "act", "args", "texts"), CONTRACT, ids=[c[1] for c in CONTRACT])
def test_the_console_and_the_page_have_the_same_words(
    acts: ActServer,
    console: ConsoleTechnician,
    language: Language,
    line: str,
    act: str,
    args: dict[str, Any],
    texts: Callable[[list[Any]], list[str]],
) -> None:
    console.run_command(f"language {language}")
    acts.language = language

    def difference() -> str:
        found = [comparable(text) for text in texts(acts.lines(act, **args)) if text]
        screen = comparable(console.run_command(line))
        missing = [text for text in found if text not in screen]
        return f"{missing} not in {screen}" if missing else ""

    last = last_difference(difference)
    acts.language = "en"
    assert not last


def last_difference(difference: Callable[[], str]) -> str:
    """Compare up to three times: a camera, a lease or a fault may change between the two texts."""
    for _ in range(2):
        if not difference():
            return ""
    return difference()


def test_a_live_picture_has_its_readings_and_one_receipt(acts: ActServer, box: AgentBox) -> None:
    before = len(page_views(box.folder))
    pictures = [acts.replies("picture", camera="north", max_bytes=30_000)[0] for _ in range(3)]
    for picture in pictures:
        assert picture.jpeg.startswith(b"\xff\xd8")
        assert len(picture.jpeg) <= 30_000
    reading = msgspec.json.decode(pictures[-1].value or b"")
    assert (reading["width_px"], reading["height_px"]) == (640, 360)
    assert reading["focus"]["percent"] is not None
    assert reading["focus"]["pass_percent"] == 85
    assert reading["horizon"]["basis"] is None
    views = page_views(box.folder)
    assert len(views) <= before + 1
    assert {(view.camera, view.by) for view in views} == {("north", "amina")}
    dark = acts.replies("picture", camera="north", view="night")[0]
    assert mean(dark.jpeg) >= mean(pictures[-1].jpeg) - 5


def page_views(folder: Path) -> list[FootageViewed]:
    """The receipts of looks through a camera at the page."""
    return [
        body
        for body in receipts(folder)
        if isinstance(body, FootageViewed)
        and body.purpose == "looked through it at the page at the pole"
    ]


def test_a_head_moves_only_as_long_as_it_is_touched(acts: ActServer, box: AgentBox) -> None:
    before = head(acts)["position"]["pan_deg"]
    lease = acts.value("jog", head="mast", pan=1.0)
    assert lease["by"] == "amina"
    acts.value("jog", head="mast", pan=1.0)
    # Nobody touches it any more, and no stop is sent.
    wait_until(lambda: not head(acts)["info"]["moving"])
    assert head(acts)["position"]["pan_deg"] > before
    acts.value("jog", head="mast", tilt=0.5)
    assert acts.value("head_stop", head="mast") == {}
    wait_until(lambda: not head(acts)["info"]["moving"])
    presets = acts.value("preset_set", head="mast", preset="gate")["presets"]
    assert [preset["name"] for preset in presets] == ["gate"]
    assert acts.value("goto", head="mast", preset="gate")["target"] == "gate"
    assert acts.value("goto", head="mast", pan_deg=10, tilt_deg=-5)["target"].startswith("pan 10.0")
    assert acts.value("tour_start", head="mast", tour="round") == {}
    assert acts.value("tour_stop", head="mast") == {}
    assert acts.value("preset_delete", head="mast", preset="gate")["presets"] == []
    with pytest.raises(ActFailed, match=r"tilt 95\.0000: allowed: ") as refused:
        acts.value("goto", head="mast", pan_deg=10, tilt_deg=95)
    assert refused.value.code == "refused"
    actions = page_actions(box.folder)
    assert actions.count("head mast is moved by hand") == 1
    assert "preset gate of head mast is stored" in actions


def head(acts: ActServer) -> Any:
    return acts.value("heads")["heads"][0]


def test_a_scene_is_tried_on_the_live_picture_and_confirmed(acts: ActServer, box: AgentBox) -> None:
    scene = acts.value("scene", camera="north")
    assert (scene["origin"], scene["toml"]) == ("box", (box.folder / "scene.toml").read_text())
    scenes = box.folder / "state" / DESIRED_DIR / "scenes"
    wrong = acts.value("scene_check", camera="north", toml="[[line]]\n")
    assert wrong["problems"][0].startswith("scenes.north: line[0].name")
    assert acts.value("scene_check", camera="north", toml=LINE)["problems"] == []
    assert not scenes.exists()
    pid = box.pid
    trial = acts.value("scene_try", camera="north", toml=LINE, minutes=2)
    assert (trial["kind"], trial["keys"], trial["by"]) == ("scene", "scenes.north", "amina")
    assert 60 < trial["remaining_s"] <= 120
    assert acts.value("scene", camera="north")["origin"] == "technician"
    assert acts.value("trial_undo") == {"text": "Undone: scenes.north."}
    assert acts.value("scene", camera="north")["origin"] == "box"
    acts.value("scene_try", camera="north", toml=LINE + MASK)
    assert acts.value("trial_confirm") == {"text": "Kept: scenes.north."}
    assert acts.value("trial") is None
    assert acts.value("scene", camera="north")["toml"] == LINE + MASK
    with pytest.raises(ActFailed, match="its masks hide less than those in force"):
        acts.value("scene_try", camera="north", toml=LINE)
    assert box.pid == pid
    assert "scenes.north: on trial for 2 minutes" in page_actions(box.folder)


def test_a_box_is_commissioned_with_photos_and_notes(
    acts: ActServer, box: AgentBox, capsys: pytest.CaptureFixture[str]
) -> None:
    items = acts.value("commission_begin")["items"]
    assert {item["item"] for item in items} == {"aim", "focus", "masks", "head", "link", "clock"}
    assert acts.replies("commission_picture", camera="north")[0].jpeg.startswith(b"\xff\xd8")
    photo = acts.value("commission_photo", photo_of_a_phone(), title="the pole")
    assert (photo["photo"], photo["title"]) == (1, "the pole")
    assert max(photo["width_px"], photo["height_px"]) <= 1280
    second = acts.value("commission_photo", photo_of_a_phone(), title="a mistake")
    assert acts.value("commission_photo_remove", photo=second["photo"])["photos"] == [photo]
    bomb = bytes(cv2.imencode(".jpg", np.zeros((7200, 7200), np.uint8))[1].tobytes())
    for wrong in (b"", b"\xff\xd8\xff not a picture", b"\x89PNG\r\n", bomb):
        with pytest.raises(ActFailed, match="photo: cannot be read; allowed: a whole JPEG"):
            acts.value("commission_photo", wrong)
    answers = [{"id": item["id"], "good": True} for item in items if not item["is_judged"]]
    with pytest.raises(ActFailed, match="allowed: an answer, good or not"):
        acts.value("commission_sign", answers=answers[1:])
    answers[0] |= {"good": False, "note": "the sign hides it"}
    kept = {"answers": [], "serials": ["10000000aa", "mistake"], "page_id": "one"}
    acts.value("commission_keep", **kept, number=2)
    acts.value("commission_keep", answers=[], serials=["overtaken"], page_id="one", number=1)
    assert [one["number"] for one in acts.value("commission_read")["serials"]] == [
        *("10000000aa", "mistake", ""),
    ]
    signed = acts.value(
        "commission_sign",
        answers=answers,
        notes="second lamp from the corner",
        serials=["10000000aa", " ", "SD-7\x07"],
    )
    assert signed["lines"][-1].endswith("the sign hides it")
    printed = acts.value("certificate")
    folder = certificate.find_newest(box.folder / "state")
    record, _ = certificate.read_verified(folder, printed["public_key"])
    assert (record.technician, record.notes) == ("amina", "second lamp from the corner")
    stored = (folder / "photo-1.jpg").read_bytes()
    assert b"Exif" not in stored
    assert [photo.title for photo in record.photos] == ["the pole"]
    assert main(["commission", "verify", str(folder), "--public-key", printed["public_key"]]) == 0
    assert "1 picture and 1 photo" in capsys.readouterr().out
    (folder / "photo-1.jpg").write_bytes(stored[:-9] + b"\0" + stored[-8:])
    assert main(["commission", "verify", str(folder)]) == 1
    (folder / "photo-1.jpg").write_bytes(stored)
    assert [(one["device"], one["name"], one["number"]) for one in printed["serials"]] == [
        ("box", None, "10000000aa"),
        ("head", "mast", "SD-7"),
    ]
    assert (printed["photos"], printed["cameras"]) == (["the pole"], ["north"])
    assert acts.replies("certificate_photo", photo=1)[0].jpeg == stored
    for number in (0, 2, -1):
        with pytest.raises(ActFailed, match="the record names none"):
            acts.value("certificate_photo", photo=number)
    acts.language = "fr"
    in_french = acts.value("certificate")["items"]
    acts.language = "en"
    assert [one["note"] for one in in_french if not one["good"]] == ["the sign hides it"]
    assert without_isolates(in_french[0]["title"]) == "orientation de north"
    assert "exposition" in in_french[0]["finding"]
    commissioned, *drifts = acts.value("commission_compare")["lines"]
    assert "amina" in commissioned
    assert drifts == ["  no drift"]


def test_day_and_night_are_tested_in_one_step_and_the_camera_is_as_before(
    acts: ActServer, console: ConsoleTechnician, box: AgentBox
) -> None:
    results = acts.lines("day_night", camera="north")
    assert [result["ok"] for result in results] == [True, True, True, True, True, True]
    assert without_isolates(results[1]["message"]) == "pin filter: on"
    assert without_isolates(results[-2]["message"]) == "pin filter: off"
    assert "day and night test of north" in page_actions(box.folder)
    request = DayNightRequest(camera="north", by="amina")
    state = request_day_night(box.folder / "state", request)
    assert state == DayNightState(night=False, outputs={"filter": False})
    console.run_command("language en")
    screen = comparable(console.run_command("camera north daynight"))
    assert [one for one in results if comparable(one["message"]) not in screen] == [], screen
    assert "FAIL" not in screen
    with pytest.raises(ActFailed, match="allowed: north"):
        acts.value("day_night", camera="none")


def test_the_aim_is_compared_with_the_newest_certificate(
    acts: ActServer, console: ConsoleTechnician
) -> None:
    items = acts.value("commission_begin")["items"]
    answers = [{"id": item["id"], "good": True} for item in items if not item["is_judged"]]
    acts.value("commission_sign", answers=answers)
    aim = acts.value("aim", camera="north")
    assert aim["certificate"]["technician"] == "amina"
    assert aim["is_good"] is True
    assert aim["lines"][0] == "the view is as in the certificate"
    console.run_command("language en")
    screen = comparable(console.run_command("camera north aim"))
    assert all(comparable(line) in screen for line in aim["lines"])
    reference = acts.replies("aim_reference", camera="north")[0]
    assert reference.jpeg.startswith(b"\xff\xd8")
    assert msgspec.json.decode(reference.value or b"")["width_px"] == 480
    rows, columns = slice(170, 230), slice(250, 420)
    assert not is_painted(reference.jpeg, rows, columns)
    # A mask that is newer than the certificate hides its part of the old picture too.
    acts.value("scene_try", camera="north", toml=LINE + MASK + NEWER_MASK)
    masked = acts.replies("aim_reference", camera="north")[0]
    assert is_painted(masked.jpeg, rows, columns)
    acts.value("trial_undo")


def test_a_support_bundle_is_downloaded_and_the_box_keeps_nothing(
    acts: ActServer, tmp_path: Path
) -> None:
    (reply,) = acts.replies("bundle")
    value = msgspec.json.decode(reply.value or b"")
    assert reply.fd is not None
    with os.fdopen(reply.fd, "rb") as file:
        data = file.read()
    assert len(data) == value["size_bytes"]
    path = tmp_path / value["name"]
    path.write_bytes(data)
    assert main(["bundle", "verify", str(path)]) == 0


def test_a_phone_gets_the_same_over_https(
    acts: ActServer, box: AgentBox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # A path of a test is too long for a socket's address.
    root = make_root(tmp_path_factory.mktemp("r"))
    page = PolePageBox(box.folder, root)
    try:
        page.turn_on()
        phone = page.logged_in_phone()
        # A second console is refused, and takes nothing from the first one's page.
        with pytest.raises(ConsoleError, match="another console has turned it on"):
            page.new_console().turn_on(
                free_port(), box_id="a", addresses=(), technician="omar", language="en"
            )
        for _, act, args, texts in CONTRACT:
            assert not last_difference(partial(phone_difference, phone, acts, act, args, texts))
        assert phone.act("commission_begin").status == 200
        photo = phone.upload("commission_photo", photo_of_a_phone(), {"title": "the pole"})
        assert msgspec.json.decode(photo.body)["title"] == "the pole"
        refused = phone.upload("update_install", b"not a bundle")
        assert (refused.status, refused.error) == (409, "refused")
        bundle = phone.act("bundle")
        assert bundle.body.startswith(b"\x1f\x8b")
        assert phone.act("jog", {"head": "mast", "pan": 1}).status == 200
        assert phone.act("head_stop", {"head": "mast"}).status == 200
    finally:
        page.close()


def phone_difference(
    phone: Phone,
    acts: ActServer,
    act: str,
    args: dict[str, Any],
    texts: Callable[[list[Any]], list[str]],
) -> str:
    """Return how the texts of an act differ at a phone and at the act server, "" if they do not."""
    reply = phone.act(act, args)
    assert reply.status == 200, (act, reply)
    if ACTS[act].reply == "picture":
        assert reply.body.startswith(b"\xff\xd8")
        values = [msgspec.json.decode(reply.headers["vigie-reading"])]
    else:
        values = [msgspec.json.decode(line) for line in reply.body.splitlines()]
    found = [comparable(text) for text in texts(values) if text]
    expected = [comparable(text) for text in texts(acts.lines(act, **args)) if text]
    return "" if found == expected else f"{act}: {found}, not {expected}"


@pytest.mark.parametrize(
    ("act", "args", "code", "message"),
    [
        ("fly", {}, "unknown", "act 'fly': there is none of that name"),
        ("check", {"numbers": [99]}, "malformed", "Expected `int` <= 16"),
        ("check", {"number": 1}, "malformed", "unknown field `number`"),
        ("picture", {"camera": "../etc"}, "malformed", "camera"),
        ("picture", {"camera": "south"}, "refused", "no such camera; allowed: north"),
        ("aim", {"camera": "south"}, "refused", "no such camera; allowed: north"),
        ("scene", {"camera": "south"}, "refused", "no such camera; allowed: north"),
        ("jog", {"head": "mast", "pan": 2}, "malformed", "pan"),
        ("jog", {"head": "mast", "pan": 1, "for_s": 60}, "malformed", "Expected `float` <= 0.6"),
        ("jog", {"head": "mast", "do": "acquire"}, "malformed", "Invalid value 'acquire'"),
        ("jog", {"head": "crane", "pan": 1}, "refused", "no head of this name"),
        ("goto", {"head": "mast", "pan_deg": "1 page: x", "tilt_deg": 0}, "malformed", "pan_deg"),
        ("goto", {"head": "mast"}, "refused", "allowed: a preset, or pan_deg and tilt_deg"),
        ("reboot", {"box": "pole-1"}, "refused", "allowed: casa-0001, as a confirmation"),
        ("update_rollback", {"box": "casa-0001"}, "refused", "set up without an image"),
        ("commission_sign", {"answers": []}, "refused", "no commissioning was begun"),
        ("fault", {"code": "XYZ-99"}, "refused", "no such code"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    acts: ActServer, act: str, args: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(ActFailed, match=re.escape(message)) as refused:
        acts.value(act, **args)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


def test_without_an_agent_the_page_works_as_far_as_the_console_does(
    box: AgentBox, acts: ActServer
) -> None:
    box.stop(signal.SIGKILL)
    # Its last report counts until it is stale.
    wait_until(lambda: acts.value("session")["agent"]["state"] == "dead")
    for act, args in (
        ("heads", {}),
        ("jog", {"head": "mast", "pan": 1}),
        ("head_stop", {"head": "mast"}),
        ("scene_try", {"camera": "north", "toml": LINE}),
    ):
        with pytest.raises(ActFailed) as refused:
            acts.value(act, **args)
        assert refused.value.code == "agent_down", act
    assert acts.value("scene", camera="north")["origin"] == "technician"
    assert len(acts.lines("check")) == 16
    (bundle,) = acts.replies("bundle")
    assert bundle.error is None
    reply = acts.replies("picture", camera="north")[0]
    assert reply.error is None
    assert msgspec.json.decode(reply.value or b"")["source"] == "the console itself"
    box.start()
    wait_until(lambda: acts.replies("picture", camera="north")[0].error is None)
