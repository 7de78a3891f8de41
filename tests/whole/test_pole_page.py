"""The page at the pole on a phone: real Chromium, the real server, a real agent at the rendered street."""

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from simulation.street.fixed_view import FixedView
from tests.axe import axe_violations
from tests.whole.pole_keys import PoleKeys
from tests.whole.pole_phone import HEIGHT_PX, WIDTH_PX, PolePhone, iter_small_targets
from tests.whole.pole_street import VIEWS, PoleStreet, choose_camera, choose_language, draw

pytestmark = pytest.mark.slow

MARKUP = "<img src=x onerror=document.body.remove()>"
MIN_TOUCH_PX, MIN_EDITOR_TOUCH_PX = 56, 44
"""For gloves; the scene editor has more controls than a phone has room for."""
FAINT = """
    const options = { runOnly: ["color-contrast-enhanced"], rules: { "color-contrast-enhanced": { enabled: true } } };
    return axe.run({ exclude: [".scene-editor"] }, options).then((found) =>
        found.violations.flatMap((rule) => rule.nodes.map((node) => node.html.slice(0, 120))));
"""
"""Text with a contrast of less than 7:1, outside of the scene editor, after axe-core is loaded."""
IS_LONG = os.environ.get("VIGIE_CRASH") == "long"
LOOKS = [("ar", "dark"), ("fr", "light"), ("en", "light"), ("en", "dark"), ("ar", "light")]
STAGE = (
    "Picture. With a tool, arrow keys move a cross and Enter sets a point. "
    "Without a tool, Tab reaches the handles."
)
KEPT = """
    const typed = document.querySelector("main input[type=text]");
    const level = [...document.querySelectorAll("main button")].find((one) => one.innerText === "Level");
    return [document.querySelector("main select").value, typed.value, level.getAttribute("aria-pressed"), scrollY > 0];
"""
"""The choice, the typed text and the scroll position in the view of a camera on a head."""
VERDICTS = "return [...document.querySelectorAll('[data-good]')].map((one) => one.dataset.good);"
"""Of the checks in the order in which the page has them."""
VIEW_TOP_PX = "return document.querySelector('main').getBoundingClientRect().top"
FREE_PX = """
    const place = (selector) => document.querySelector(selector).getBoundingClientRect();
    return [place(".top").bottom, place(".views").top];
"""
"""The part of the window between the line above and the tabs."""
SCROLL_TO_PICTURE = """
    const edge = (selector, name) => document.querySelector(selector).getBoundingClientRect()[name];
    scrollBy({ top: edge(".screen", "top") - edge(".top", "bottom") - 4, behavior: "instant" });
"""
PLACES = """
    return [document.querySelector(".screen"), ...document.querySelectorAll(".pad button")].map((one) => one.getBoundingClientRect().toJSON());
"""
WATCH_PAD = """
    const pad = document.querySelector(".pad"), state = document.querySelector(".head-state");
    Object.assign(window, { padPlaces: [], readings: new Set() });
    const look = () => {
        const { top, left, height } = pad.getBoundingClientRect();
        window.padPlaces.push([top, left, height]);
        window.readings.add(state.innerText);
        if (pad.isConnected) requestAnimationFrame(look);
    };
    look();
"""
"""Collects the places of the pad and the readings next to it, in each picture that the browser draws."""
PAD_MOVED_PX = """
    const spread = (values) => Math.max(...values) - Math.min(...values);
    return Math.max(...[0, 1, 2].map((at) => spread(window.padPlaces.map((place) => place[at]))));
"""
"""The largest change of its places. A page is scrolled by whole pixels: less than one is none."""
ADD_FAULT = """
    const plain = window.fetch;
    window.fetch = async (path, ...rest) => {
        const answer = await plain(path, ...rest);
        if (!String(path).endsWith("/api/acts/status")) return answer;
        const state = await answer.json();
        return Response.json({ ...state, faults: [{ code: "STO-02", title: "disk full", subject: "box" }] });
    };
"""
"""Adds a fault to what the box answers from now on: one that begins at a time of the test's own."""
RECORD_TONES = """
    window.tones = [];
    window.OscillatorNode = class extends OscillatorNode {
        constructor(...args) { super(...args); window.tones.push(this); }
    };
"""
"""Keeps each oscillator of the browser that the page makes."""
PITCHES_HZ = """
    return import("/page/focus_assistant.js").then(({ toneHz }) => [0, 25, 50, 84, 85, 99, 100].map(toneHz));
"""
HOLD_KEEP = """
    const plain = window.fetch;
    window.fetch = (path, options) => {
        if (!String(path).endsWith("/commission_keep") || options.keepalive) return plain(path, options);
        window.isHeld = true;
        return new Promise(() => {});
    };
"""
"""From now on no answer comes to the requests of the page that keep a commissioning, but to those of a page that is left."""
COUNT_PICTURES = """
    const plain = window.fetch;
    let running = 0;
    Object.assign(window, { pictures: 0, picturesAtOnce: 0 });
    window.fetch = async (path, ...rest) => {
        if (!String(path).endsWith("/commission_picture")) return plain(path, ...rest);
        running += 1;
        window.picturesAtOnce = Math.max(window.picturesAtOnce, running);
        const answer = await plain(path, ...rest);
        window.pictures += answer.ok;
        running -= 1;
        return answer;
    };
"""
"""Counts the inspected pictures that the box gives from now on, and the requests for them that run at once."""
KEEP_PRESET = """
    window.presetBefore = document.querySelector("[aria-label='Move to preset gate']");
"""
IS_PRESET_REPLACED = "return !window.presetBefore?.isConnected;"
"""Whether the button of a preset, if there was one, is another since KEEP_PRESET: the page draws presets again once one is stored."""
PRINTS = {"Print the certificate": (210, 297), "Print the label": (50, 30)}
"""The buttons, and the paper in millimetres."""
LABEL_PNG = """
    const code = document.querySelector(".box-label svg").cloneNode(true);
    code.setAttribute("width", 410);
    code.setAttribute("height", 410);
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(code)], { type: "image/svg+xml" }));
    return image.decode().then(() => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [410, 410];
        const ground = canvas.getContext("2d");
        ground.fillStyle = "white";
        ground.fillRect(0, 0, 410, 410);
        ground.drawImage(image, 0, 0);
        return canvas.toDataURL("image/png").split(",")[1];
    });
"""
"""The QR code of the label as PNG in base64."""
LARGE_PLACES = """
    const figure = document.querySelector(".focus-assistant .figure");
    figure.textContent = "100";
    const digits = document.createRange();
    digits.selectNodeContents(figure);
    const [picture, row] = ["img", ".row"].map((one) => document.querySelector(`.focus-assistant ${one}`));
    return [digits, picture, row].map((one) => one.getBoundingClientRect().toJSON());
"""
"""The places of three digits, of the small picture and of the controls in the large figures."""
SHIFT_BY_PICTURE = """
    const picture = document.querySelector(".inspected img:not([hidden])");
    const top = () => picture.closest("fieldset").querySelector("label.choice").getBoundingClientRect().top;
    const shown = top();
    picture.hidden = true;
    const hidden = top();
    picture.hidden = false;
    return shown - hidden;
"""
"""By how much the answers of an item move when its picture is shown."""
DRAFT = """
    const fields = [...document.querySelectorAll("fieldset")].slice(0, 2);
    const answers = fields.map((one) => [...one.querySelectorAll("input[type=radio]")].findIndex((radio) => radio.checked));
    return [answers, fields[1].querySelector("input[type=text]").value, document.querySelector("textarea").value];
"""
"""The first two answers (0: good, 1: not good), the reason of the second, and the notes."""
LAST_CHECK = "[data-number='16']"
TOUCH_S, KEY_S, MAX_RUN_S = 10, 1, 600
"""A technician's pace, and the ten minutes from mounted to calibrated."""
GROUND_M = ((-3.0, 12.0), (3.0, 12.0), (-3.0, 30.0), (3.0, 30.0))
"""Corners of a rectangle on the street: metres to the right of its middle, and ahead of the camera."""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoleStreet]:
    street = PoleStreet(tmp_path_factory.mktemp("pole"), MARKUP)
    yield street
    street.close()


@pytest.fixture
def phone(street: PoleStreet) -> PolePhone:
    return street.log_in()


def test_a_link_opens_one_phone_once(street: PoleStreet) -> None:
    phone, link = street.phone, street.page.link()
    phone.open(link)
    phone.wait_for_text("casa-0001", ".top")
    # The token is gone from the address, and so from the phone's history.
    assert link.partition("#")[2] not in phone.driver.current_url
    assert re.search(r"off in [12]?\d:\d\d", phone.text(".top"))
    assert street.page.phone().log_in(link.partition("#")[2]).status == 403
    phone.open(link)
    phone.wait_for_text("This link is no longer good")


def test_the_tab_of_the_open_view_keeps_what_was_typed_chosen_and_scrolled(
    street: PoleStreet,
) -> None:
    phone = street.phone
    phone.open(street.page.link())
    phone.wait_for_text("casa-0001", ".top")
    choose_language(phone, "en")
    # As after a login: the address names no view.
    phone.open(street.page.origin)
    phone.wait_for_pictures()
    choose_camera(phone, "mast")
    phone.tap("Level")
    phone.type_into(phone.select_all("main input[type=text]")[0], "gate")
    kept = ["mast", "gate", "true", True]
    assert phone.run(KEPT) == kept
    # The page's own listener has run before this one.
    phone.run("addEventListener('hashchange', () => { window.hasChanged = true; })")
    phone.tap("Picture", within=".views")
    phone.wait(lambda: phone.run("return window.hasChanged"), "change of the address")
    assert phone.run("return location.hash") == "#picture"
    assert phone.run(KEPT) == kept


def test_from_mounted_to_calibrated_by_touch_alone(
    street: PoleStreet, phone: PolePhone, tmp_path: Path
) -> None:
    phone.touches = phone.keys = 0
    phone.wait_for_pictures()
    phone.tap("Level")
    assert phone.select_all(".screen svg")[0].is_displayed()
    assert "of 255" in phone.text("main")
    _draw_calibrate_and_keep(street, phone)
    phone.show_view("Checks")
    phone.wait_for_text("active faults", "main")
    phone.tap("Run all checks")
    phone.wait_for_text("updates", LAST_CHECK)
    phone.tap("Test the link")
    phone.wait_for_text("ping", "main")
    _commission(street, phone, tmp_path / "mast.jpg")
    print(f"from mounted to calibrated: {phone.touches} touches, {phone.keys} keys")  # noqa: T201
    assert phone.touches * TOUCH_S + phone.keys * KEY_S <= MAX_RUN_S


def _draw_calibrate_and_keep(street: PoleStreet, phone: PolePhone) -> None:
    phone.show_view("Scene")
    phone.wait_for_text("zebra", ".scene-editor")
    draw(phone, "Line", (0.3, 0.8), (0.7, 0.8))
    draw(phone, "Mask", (0.02, 0.05), (0.2, 0.05), (0.2, 0.3), (0.02, 0.3), (0.02, 0.05))
    view = FixedView(640, 360)
    pixels = [view.pixel(x_m, 0.0, y_m) for x_m, y_m in GROUND_M]
    draw(phone, "Ground mark", *((x_px / 640, y_px / 360) for x_px, y_px in pixels))
    phone.tap("Ground", within=".scene-editor .side")
    fields = phone.select_all("input[data-list=point]")
    for field, value in zip(fields, (str(one) for point in GROUND_M for one in point), strict=True):
        field.clear()
        phone.type_into(field, value)
    phone.tap("Try it")
    phone.wait_for_text("On trial")
    # From any view.
    phone.show_view("Picture")
    phone.wait_for_pictures()
    phone.tap("Keep it")
    phone.wait(lambda: "On trial" not in phone.text(), "end of the trial")
    kept = json.loads(street.page.logged_in_phone().act("scene", {"camera": "north"}).body)
    assert kept["origin"] == "technician"
    text = kept["toml"]
    assert text.startswith("# The scene for the rendered street")
    assert (text.count("[[line]]"), text.count("[[mask]]")) == (3, 1)
    assert "[ground]" in text


def _commission(street: PoleStreet, phone: PolePhone, photo: Path) -> None:
    cv2.imwrite(str(photo), np.full((1200, 2400, 3), 90, np.uint8))
    phone.show_view("Install")
    phone.tap("Begin")
    phone.wait_for_text("Notes for the certificate")
    phone.tap("Sign")
    phone.wait_for_text("Still open:")
    for fields in phone.select_all("fieldset"):
        good = fields.find_element(By.CSS_SELECTOR, "label.choice")
        if good.find_element(By.TAG_NAME, "input").is_enabled():
            phone.tap(good)
    phone.attach("#photo", photo)
    phone.wait_for_text("Photos kept: 1")
    phone.type_into(phone.select_all("textarea")[0], f"mast 7 {MARKUP}")
    phone.tap("Sign")
    phone.wait_for_text("Signed", "main")
    record = json.loads(_record_file(street).read_text())
    assert record["technician"] == "amina"
    assert f"mast 7 {MARKUP}" in json.dumps(record)


def test_the_aim_is_compared_with_the_certificate(phone: PolePhone) -> None:
    phone.wait_for_pictures()
    phone.tap("Aim")
    phone.wait_for_text("the view is as in the certificate")
    recorded = phone.select_all("img.recorded")[0]
    phone.wait(recorded.is_displayed, "picture of the certificate")
    phone.tap("Night view")
    phone.wait_for_pictures()
    phone.tap("Start again")
    phone.show_view("Install")
    phone.tap("Compare with the last")
    phone.wait_for_text("commissioned", "main")


def test_the_certificate_is_printed_on_a4_and_its_label_on_50_by_30_mm(
    street: PoleStreet, phone: PolePhone
) -> None:
    phone.show_view("Install")
    phone.run("window.prints = 0; window.print = () => { window.prints += 1; }")
    phone.tap("Certificate")
    phone.wait_for_text("amina", ".certificate")
    shown = phone.text(".certificate")
    assert MARKUP in shown
    assert axe_violations(phone.driver) == []
    # The pictures of three cameras, and the technician's photo.
    assert len(phone.select_all(".certificate figure img")) == 3 + 1
    record = json.loads(_record_file(street).read_text())
    label = phone.run(LABEL_PNG)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(label), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert text == f"casa-0001 {record['public_key']}"
    for number, (name, size_mm) in enumerate(PRINTS.items(), 1):
        phone.tap(name)
        assert phone.run("return window.prints") == number
        assert _printed_pages_mm(phone)[0] == size_mm, name
    assert _printed_pages_mm(phone) == [PRINTS["Print the label"]]


def _record_file(street: PoleStreet) -> Path:
    (path,) = (street.box.folder / "state" / "commissioned").glob("*/record.json")
    return path


def _printed_pages_mm(phone: PolePhone) -> list[tuple[int, int]]:
    """The sizes of the pages that the browser prints now."""
    pdf = base64.b64decode(phone.send("Page.printToPDF", preferCSSPageSize=True)["data"])
    boxes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    return [(round(float(x) / 72 * 25.4), round(float(y) / 72 * 25.4)) for x, y in boxes]


def test_the_focus_is_read_from_metres_away_and_heard(phone: PolePhone) -> None:
    phone.run(RECORD_TONES)
    phone.wait_for_pictures()
    phone.tap("Large figures")
    phone.wait(lambda: phone.text(".focus-assistant .figure").strip().isdigit(), "figure")
    digits, picture, row = phone.run(LARGE_PLACES)
    assert digits["height"] >= 0.2 * HEIGHT_PX
    assert 0 <= digits["left"] < digits["right"] <= WIDTH_PX
    assert picture["height"] < digits["height"]
    assert row["bottom"] <= HEIGHT_PX
    assert axe_violations(phone.driver) == []
    assert list(iter_small_targets(phone, MIN_TOUCH_PX)) == []
    assert phone.run("return window.tones.length") == 0, "a tone before a touch"
    phone.tap("Tone")
    lowest_hz, *_, highest_hz = pitches_hz = phone.run(PITCHES_HZ)
    assert pitches_hz == sorted(set(pitches_hz))
    heard_hz = "return window.tones[0].frequency.value"
    # The view is near its sharpest: the pitch has risen from the lowest.
    phone.wait(lambda: phone.run(heard_hz) > lowest_hz * 2, "pitch")
    assert phone.run(heard_hz) <= highest_hz + 1
    phone.tap("Close")
    phone.wait(lambda: phone.run("return window.tones[0].context.state") == "closed", "silence")


def test_day_and_night_are_tested_by_one_touch(phone: PolePhone) -> None:
    phone.show_view("Checks")
    phone.tap("Test day and night")
    phone.wait_for_text("the picture is as before", "section[aria-label='Day and night']")
    shown = phone.wait_for_text("All checks passed", "section[aria-label='Day and night']")
    assert "the picture changes" in shown
    assert axe_violations(phone.driver) == []


def test_a_second_phone_works_beside_the_first(street: PoleStreet, phone: PolePhone) -> None:
    second = street.page.logged_in_phone()
    phone.wait_for_pictures()
    assert second.act("picture", {"camera": "north"}).status == 200
    phone.wait_for_pictures()
    headers = {"Content-Type": "application/json"}
    assert second.request("DELETE", "/api/session", headers=headers).status == 204
    assert second.act("picture", {"camera": "north"}).status == 401
    phone.wait_for_pictures()


def test_no_picture_is_requested_while_the_page_is_hidden(phone: PolePhone) -> None:
    phone.wait_for_pictures()
    phone.set_hidden(hidden=True)
    phone.show_view("Box")
    before = _count_requests(phone, "picture")
    phone.show_view("Picture")
    phone.show_view("Checks")
    phone.wait_for_text("active faults", "main")
    phone.show_view("Picture")
    assert _count_requests(phone, "picture") == before
    phone.set_hidden(hidden=False)
    phone.wait_for_pictures()


def test_a_phone_that_is_out_of_reach_says_so_in_one_line_and_counts_no_time(
    phone: PolePhone,
) -> None:
    assert "off in" in phone.text(".top")
    _go_offline(phone, offline=True)
    line = phone.wait_for_text("The box does not answer", ".problems")
    assert "\n" not in line.strip()
    assert "off in" not in phone.text(".top")
    _go_offline(phone, offline=False)
    phone.wait_for_text("off in", ".top")
    assert "does not answer" not in phone.text(".problems")


def test_a_line_above_a_view_moves_nothing_below_a_finger_and_is_counted_in_sight(
    phone: PolePhone,
) -> None:
    phone.show_view("Scene")
    phone.wait_for_text("zebra", ".scene-editor")
    phone.run("scrollTo(0, 0)")
    top_px = phone.run(VIEW_TOP_PX)
    _go_offline(phone, offline=True)
    phone.wait_for_text("The box does not answer", ".problems")
    # A browser scrolls by whole pixels; a busy box has lines of its own, which may come and go too.
    assert phone.run(VIEW_TOP_PX) == pytest.approx(top_px, abs=4)
    assert phone.text(".top .count") == "⚠ 1"
    _go_offline(phone, offline=False)
    phone.wait(lambda: "does not answer" not in phone.text(".problems"), "answer")
    assert phone.run(VIEW_TOP_PX) == pytest.approx(top_px, abs=4)


def test_the_page_has_the_language_of_the_console_unless_the_phone_chooses_another(
    street: PoleStreet, phone: PolePhone
) -> None:
    street.page.switch.turn_off()
    street.page.turn_on("fr")
    phone.run("localStorage.clear()")
    phone.open(street.page.link())
    phone.wait_for_text(VIEWS["fr"][0], ".views")
    choose_language(phone, "ar")
    phone.open(street.page.link())
    phone.wait_for_text(VIEWS["ar"][0], ".views")
    street.page.switch.turn_off()
    street.page.turn_on()


def test_a_commissioning_in_hand_is_still_there_after_the_page_was_loaded_again(
    phone: PolePhone, tmp_path: Path
) -> None:
    photo = tmp_path / "mast.jpg"
    cv2.imwrite(str(photo), np.full((300, 400, 3), 90, np.uint8))
    phone.show_view("Install")
    phone.tap("Begin")
    phone.wait_for_text("Notes for the certificate")
    # The answers have their place before the picture above them is there.
    phone.wait(lambda: phone.select_all(".inspected img:not([hidden])"), "inspected picture")
    assert phone.run(SHIFT_BY_PICTURE) == 0
    first, second = phone.select_all("fieldset")[:2]
    phone.tap(first.find_elements(By.CSS_SELECTOR, "label.choice")[0])
    phone.tap(second.find_elements(By.CSS_SELECTOR, "label.choice")[1])
    phone.type_into(second.find_element(By.CSS_SELECTOR, "input[type=text]"), "not yet")
    phone.attach("#photo", photo)
    phone.wait_for_text("Photos kept: 1")
    phone.run(HOLD_KEEP)
    phone.type_into(phone.find("Serial number of camera north"), "AX-1234")
    phone.wait(lambda: phone.run("return window.isHeld"), "request that gets no answer")
    phone.type_into(phone.select_all("textarea")[0], "mast 7")
    phone.driver.refresh()
    phone.wait_for_text("Notes for the certificate")
    phone.wait(lambda: phone.select_all(".photos img:not([hidden])"), "photo")
    assert phone.run(DRAFT) == [[0, 1], "not yet", "mast 7"]
    serial = phone.find("Serial number of camera north")
    assert serial.find_element(By.TAG_NAME, "input").get_property("value") == "AX-1234"
    # In another language it has the same answers, and the items in that language.
    choose_language(phone, "fr")
    phone.run(COUNT_PICTURES)
    phone.show_view(VIEWS["fr"][3])
    phone.wait_for_text("orientation de north")
    assert phone.run(DRAFT) == [[0, 1], "not yet", "mast 7"]
    # The box refuses the ninth act that runs at once, and its picture would be missing.
    phone.wait(lambda: phone.run("return window.pictures") > 1, "two inspected pictures")
    assert phone.run("return window.picturesAtOnce") == 1


def test_a_held_button_moves_the_head_until_it_is_let_go(phone: PolePhone) -> None:
    choose_camera(phone, "mast")
    phone.wait_for_text("pan 0.0")
    phone.press("Right")
    phone.wait_for_text("moving")
    phone.release()
    phone.wait(lambda: "moving" not in phone.text(), "stop")
    found = re.search(r"pan ([\d.]+)", phone.text())
    assert found is not None
    assert float(found[1]) > 0
    # A touch that the phone takes for itself, such as for a call, ends it too, and so does another page before it.
    phone.press("Left")
    phone.wait_for_text("moving")
    phone.release("touchCancel")
    phone.wait(lambda: "moving" not in phone.text(), "stop")
    phone.press("Up")
    phone.wait_for_text("moving")
    phone.set_hidden(hidden=True)
    phone.set_hidden(hidden=False)
    phone.wait(lambda: "moving" not in phone.text(), "stop")
    phone.release()
    # By a key, as long as it is down.
    up = phone.find("Up")
    ActionChains(phone.driver).key_down(Keys.ENTER, up).perform()
    phone.wait_for_text("moving")
    ActionChains(phone.driver).key_up(Keys.ENTER, up).perform()
    phone.wait(lambda: "moving" not in phone.text(), "stop")
    phone.type_into(phone.select_all("main input[type=text]")[0], "gate")
    phone.tap("Store the position")
    phone.wait_for_text("gate is stored.")
    phone.tap("Move to preset gate")
    phone.wait_for_text("Moves to gate")


@pytest.mark.parametrize("height_px", [640, HEIGHT_PX])
def test_the_picture_and_the_pad_of_its_head_are_on_one_screen_and_the_pad_stays_in_its_place(
    phone: PolePhone, height_px: int
) -> None:
    phone.resize(WIDTH_PX, height_px)
    choose_camera(phone, "mast")
    phone.wait_for_text("pan ", ".head-state")
    phone.wait_for_pictures()
    # Below the lines of the box's problems, of which there may be some.
    phone.run(SCROLL_TO_PICTURE)
    top_px, bottom_px = phone.run(FREE_PX)
    picture, *pad = phone.run(PLACES)
    assert top_px <= picture["top"] < picture["bottom"] <= min(one["top"] for one in pad)
    assert max(one["bottom"] for one in pad) <= bottom_px
    assert min(min(one["width"], one["height"]) for one in pad) >= MIN_TOUCH_PX
    phone.run(WATCH_PAD)
    for direction in ("Right", "Down"):
        _hold(phone, direction)
        phone.wait_for_text("moving", ".head-state")
        phone.wait_for_pictures(4)
        phone.release()
        phone.wait(lambda: "moving" not in phone.text(".head-state"), "stop")
    _hold(phone, "Left")
    _go_offline(phone, offline=True)
    phone.wait_for_text("does not answer", ".screen")
    asked = _count_requests(phone, "status")
    # The second is asked once the first has failed.
    phone.wait(lambda: _count_requests(phone, "status") >= asked + 2, "questions that fail")
    assert "does not answer" not in phone.text(".problems")
    _go_offline(phone, offline=False)
    phone.wait_for_pictures()
    readings, moved_px = phone.run("return window.readings.size"), phone.run(PAD_MOVED_PX)
    phone.release()
    phone.resize(WIDTH_PX, HEIGHT_PX)
    assert readings >= 4
    assert moved_px < 1


@pytest.mark.parametrize("anchor", ["auto", "none"])
def test_a_problem_that_begins_is_shown_after_the_touch_and_moves_no_pad(
    phone: PolePhone, anchor: str
) -> None:
    # Of the browsers of phones, Safari has no scroll anchoring.
    phone.run("document.documentElement.style.overflowAnchor = arguments[0]", anchor)
    choose_camera(phone, "mast")
    phone.wait_for_text("pan ", ".head-state")
    phone.wait_for_pictures()
    phone.run(SCROLL_TO_PICTURE)
    _hold(phone, "Right")
    phone.wait_for_text("moving", ".head-state")
    phone.run(WATCH_PAD)
    phone.run(ADD_FAULT)
    asked = _count_requests(phone, "status")
    phone.wait(lambda: _count_requests(phone, "status") >= asked + 2, "answers with the fault")
    assert "STO-02" not in phone.text(".problems")
    phone.release()
    phone.wait_for_text("STO-02", ".problems")
    phone.wait_for_pictures()
    moved_px = phone.run(PAD_MOVED_PX)
    # A page that is loaded again has neither the fault nor the style.
    phone.driver.refresh()
    assert moved_px < 1


def _hold(phone: PolePhone, direction: str) -> None:
    """Put the finger on a button of the pad, where the page shows it now."""
    place = phone.run(
        "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()",
        f".pad [aria-label={direction}]",
    )
    phone.press_at(place["left"] + place["width"] / 2, place["top"] + place["height"] / 2)


def _count_requests(phone: PolePhone, act: str) -> int:
    return sum(url.endswith(f"/api/acts/{act}") for url in phone.requested())


def _go_offline(phone: PolePhone, *, offline: bool) -> None:
    phone.send(
        "Network.emulateNetworkConditions",
        offline=offline,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=-1,
    )


def test_the_support_bundle_is_saved_and_an_update_without_slots_is_refused(
    phone: PolePhone, tmp_path: Path
) -> None:
    phone.show_view("Box")
    phone.tap("Make the bundle")
    phone.wait_for_text("Saved: vigie-bundle-casa-0001-")
    phone.wait(lambda: list(phone.downloads.glob("*.tar.gz")), "bundle")
    update = tmp_path / "next.raucb"
    update.write_bytes(b"no bundle" * 1000)
    phone.attach("#update-file", update)
    phone.wait_for_text("set up without an image")


@pytest.mark.parametrize(("language", "scheme"), LOOKS if IS_LONG else LOOKS[:1])
def test_each_view_is_accessible_and_fits_into_360_pixels(
    phone: PolePhone, language: str, scheme: str
) -> None:
    phone.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    choose_language(phone, language)
    found = []
    for view in VIEWS[language]:
        phone.show_view(view)
        phone.wait(lambda: "…" not in phone.text("main"), "end of the work")
        width_px = phone.run("return document.scrollingElement.scrollWidth")
        if width_px > 360:
            found.append(f"{view}: {width_px} px wide")
        is_editor = view == VIEWS[language][1]
        min_px = MIN_EDITOR_TOUCH_PX if is_editor else MIN_TOUCH_PX
        found += [f"{view}: {small}" for small in iter_small_targets(phone, min_px)]
        found += [f"{view}: {violation}" for violation in axe_violations(phone.driver)]
        found += [f"{view}: less than 7:1: {faint}" for faint in phone.run(FAINT)]
    assert found == []
    moving = phone.run(
        "return [...document.querySelectorAll('*')].map((one) => getComputedStyle(one))"
        ".filter((style) => parseFloat(style.transitionDuration) > 0).length"
    )
    assert moving == 0


def test_arabic_is_mirrored_but_for_the_picture_and_the_pad(phone: PolePhone) -> None:
    def left_px(selector: str) -> float:
        script = "return document.querySelector(arguments[0]).getBoundingClientRect().left"
        return float(phone.run(script, selector))

    choose_language(phone, "ar")
    phone.show_view(VIEWS["ar"][0])
    choose_camera(phone, "mast")
    phone.wait(lambda: phone.select_all(".pad"), "head")
    assert left_px(".views li:first-child") > left_px(".views li:last-child")
    assert left_px(".pad [aria-label='يسار']") < left_px(".pad [aria-label='يمين']")
    direction = "return getComputedStyle(document.querySelector('.screen')).direction"
    assert phone.run(direction) == "ltr"


def test_the_tabulator_reaches_each_control_of_each_view_and_shows_where_it_is(
    phone: PolePhone,
) -> None:
    choose_camera(phone, "mast")
    keys, found = PoleKeys(phone), []
    first, *others = VIEWS["en"]
    for view in (*others, first):
        keys.show_view(view)
        phone.wait(lambda: "…" not in phone.text("main"), "end of the work")
        found += [f"{view}: {one}" for one in keys.find_unreached()]
    assert found == []


def test_the_page_is_worked_by_keys_alone(phone: PolePhone) -> None:
    keys = PoleKeys(phone)
    _aim_and_tour(phone, keys)
    keys.show_view("Scene")
    phone.wait_for_text("zebra", ".scene-editor")
    left, right = (Keys.ARROW_LEFT * 10, Keys.ARROW_RIGHT * 20)
    keys.use(STAGE, "l", Keys.ENTER, left, Keys.ENTER, right, Keys.ENTER, "by keys")
    phone.wait_for_text("by keys", ".scene-editor .elements")
    keys.use("Try it")
    phone.wait_for_text("On trial", ".notice")
    keys.use("Undo it")
    phone.wait(lambda: "On trial" not in phone.text(), "end of the trial")
    keys.show_view("Checks")
    keys.use("Test the link")
    phone.wait_for_text("ping", "main")
    keys.show_view("Install")
    keys.use("Begin")
    # A draft that the box has kept is shown until the new one is there.
    phone.wait(lambda: "…" not in phone.text("main"), "end of the work")
    phone.wait_for_text("Notes for the certificate")
    for _ in phone.select_all("fieldset"):
        keys.press(Keys.TAB)
        if phone.run("return document.activeElement.type") == "radio":
            keys.press(Keys.SPACE)
    keys.use("Sign")
    phone.wait_for_text("Signed", "main")
    keys.show_view("Box")
    keys.use("Show the versions")
    phone.wait_for_text("set up without an image")
    keys.use("Français")
    phone.wait_for_text("Boîtier", ".views")
    keys.use("English")
    phone.wait_for_text("Box", ".views")
    keys.use("Log out")
    phone.wait_for_text("Open the link of the console")


def _aim_and_tour(phone: PolePhone, keys: PoleKeys) -> None:
    """Use the aids on the picture and the head by keys, up to a tour, which begins once the technician's lease is over."""
    choose_camera(phone, "mast")
    phone.wait_for_pictures()
    keys.use("Level")
    assert phone.select_all(".screen svg")[0].is_displayed()
    keys.use("Night view", Keys.SPACE)
    phone.wait_for_pictures()
    phone.wait_for_text("pan ", ".head-state")
    phone.run(KEEP_PRESET)
    keys.use("Name of a new preset", "gate")
    keys.use("Store the position")
    phone.wait_for_text("gate is stored.")
    phone.wait(lambda: phone.run(IS_PRESET_REPLACED), "buttons of the preset that was stored")
    keys.use("Move to preset gate")
    phone.wait_for_text("Moves to gate")
    keys.use("round")
    phone.wait_for_text("tour round")
    keys.use("Stop the tour")
    phone.wait(lambda: "tour round" not in phone.text(), "end of the tour")
    choose_camera(phone, "north")


def test_names_and_labels_are_text(phone: PolePhone) -> None:
    assert MARKUP in phone.text(".top")
    phone.show_view("Scene")
    phone.wait_for_text(MARKUP, ".scene-editor")
    assert phone.select_all("img[src=x]") == []


def test_the_page_goes_on_without_the_agent_a_camera_and_room_on_the_disk(
    street: PoleStreet, phone: PolePhone
) -> None:
    phone.wait_for_pictures()
    street.box.kill()
    line = phone.wait_for_text("Agent: DEAD", ".problems")
    assert "\n" not in line.strip()
    # The picture is now read from the camera itself.
    phone.wait_for_pictures()
    street.clip.unlink()
    street.box.start()
    lines = phone.wait_for_text("CAM-01", ".problems").splitlines()
    # Another camera may have a problem of its own, such as CAM-09 on a machine that is busy.
    assert [line.split()[0] for line in lines if "(yard)" in line] == ["CAM-01"]
    choose_camera(phone, "yard")
    phone.wait_for_text("Waiting for a picture", ".screen")
    choose_camera(phone, "north")
    phone.wait_for_pictures()
    phone.show_view("Checks")
    assert MARKUP in phone.wait_for_text("active faults: ", "main")
    phone.tap("Run all checks")
    phone.wait_for_text("updates", LAST_CHECK)
    verdicts = phone.run(VERDICTS)
    assert "false" in verdicts, "the camera is not there"
    assert verdicts == sorted(verdicts), "failing checks come first"
    with street.no_room():
        phone.show_view("Install")
        phone.tap("Begin")
        phone.wait_for_text("File too large", "main")
        phone.show_view("Checks")
        phone.wait_for_text("active faults", "main")
        phone.tap("Run all checks")
        phone.wait_for_text("CUS-01", "main")
    phone.show_view("Picture")
    phone.wait_for_pictures()


def test_no_request_left_the_origin_and_the_console_of_the_browser_is_silent(
    street: PoleStreet, phone: PolePhone
) -> None:
    allowed = (street.page.origin, "blob:", "about:", "data:", "chrome")
    assert [url for url in phone.requested() if not url.startswith(allowed)] == []
    # Refusals, and the requests of tests that take the phone out of reach or turn the page off: 503 while it ends.
    expected = re.compile(
        r"status of (401|403|409|503)|net::ERR_(INTERNET_DISCONNECTED|CONNECTION_REFUSED)"
    )
    assert [one for one in phone.console_messages() if not expected.search(one)] == []


def test_the_page_ends_with_the_session_at_the_console(
    street: PoleStreet, phone: PolePhone
) -> None:
    phone.wait_for_pictures()
    street.page.switch.turn_off()
    shown = phone.wait_for_text("The page is off")
    assert "The session at the console has ended" in shown
    assert "off in" not in shown
