"""Take the pictures of the documents from the running software: `python -m scripts.pictures [NAME...]`.

The street is the rendered one. Brokers, boxes, consoles and browsers are the real programs, started
as the tests start them; needs mosquitto, chromium and chromium-driver (`make setup-test`), xvfb and xterm.
"""

import asyncio
import base64
import io
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.text import Text

from agent.base.secret_file import read_secret
from agent.config.broker import BrokerConfig
from agent.config.fisheye import LensConfig, ViewOptions
from agent.console.login import compute_code, parse_challenge
from agent.detection.dewarp import Dewarper
from agent.detection.fisheye_calibration import resolve_lens
from agent.detection.fisheye_lens import FisheyeLens
from agent.detection.image import crop_rgb, full_region
from agent.detection.scene import load_scene
from agent.recording.export.head_coverage import format_head
from bench.fisheye_film import render_avenue
from centre import draw
from centre.cli.watch import WatchOptions, receiving_screen
from centre.client import ActingCentre
from centre.fisheye_views import read_views
from centre.replay import ReplayRequest, replay
from centre.scene_page import write_scene_page
from centre.store import CentreStore
from drivers.media import Frame
from scripts.count_pictures import take_count_by_eye, take_report
from scripts.editor_pictures import take_views
from scripts.pole_pictures import take_phones
from scripts.terminal_window import TerminalWindow
from simulation.street.renderer import bgr_to_planes
from simulation.street.world import ROAD_HALF_M
from simulation.surround.backdrop import FRONT_X_M
from simulation.surround.panned_view import POLE_HEIGHT_M, POLE_X_M
from tests.scene_editor.browser import PHONE_PX, EditorPage
from tests.vectors.browser import VerifierPage
from tests.vectors.stolen_key import arrival_ms
from tests.vectors.street import StreetBox
from tests.vectors.workbench import Workbench
from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.technician import LOGGED_OUT_PROMPT, ConsoleTechnician, write_console_secret

DOCS = Path(__file__).parents[1] / "docs"
STREET_SCENE = DOCS.parent / "centre" / "demo" / "scenes" / "street.toml"
FISHEYE_PX, FISHEYE_S = 1200, 12.0
HERO_S = 25.5
"""Each visible road user is tracked then, and a car has stopped: tests/whole/test_replay.py."""
MAX_WIDTH_PX = 1200
JPEG_QUALITY = 82
WATCH_COLUMNS, WATCH_ROWS = 112, 20
PAGE_WIDTH_PX = 780
EDITOR_WIDTH_PX, EDITOR_HEIGHT_PX = 1200, 780
BLACK, MAX_BLACK_RATIO = 16, 0.01
"""The upper and lower edges of a panorama's frames are curved, and black beyond: such rows are cut off."""

CONSOLE_PROMPT = b"casa-0001> "
READ_BYTES = 4096
MASK = "[[mask]]\npolygon = [[0.02, 0.05], [0.3, 0.05], [0.3, 0.45], [0.02, 0.45]]\n"
DARK = """
[[camera]]
name = "yard"
driver = "v4l2"
options = { device = "/dev/v4l/by-id/yard" }
detect = { enabled = false }
"""


def take_street(folder: Path) -> None:
    """The rendered street of the demo with everything that the agent sees in it."""
    _write_jpeg("street.jpg", _replayed_frame(folder, STREET_SCENE, HERO_S))


def take_scene(folder: Path) -> None:
    """The example of docs/scene.md, drawn on the rendered street."""
    path = folder / "scene.toml"
    path.write_text(_scene_example())
    canvas, scene = _replayed_frame(folder, path, 42.6), load_scene(path)
    height_px, width_px = canvas.shape[:2]
    for text, polygon in (("mask", scene.mask[0].polygon), ("ignore", scene.ignore[0].polygon)):
        x = sum(corner.x for corner in polygon) / len(polygon) * width_px
        y = sum(corner.y for corner in polygon) / len(polygon) * height_px
        left = round(x - draw.text_width_px(text, 14, bold=True) / 2)
        draw.draw_text(canvas, text, (left, round(y) + 5), 14, bold=True)
    _write_jpeg("scene.jpg", canvas)


def _scene_example() -> str:
    example, *_ = re.findall(
        r"^```toml\n(.*?)^```", (DOCS / "scene.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return str(example)


def _replayed_frame(folder: Path, scene: Path, at_s: float) -> npt.NDArray[Any]:
    """Return the last frame of `vigie replay --annotate` on `at_s` seconds of the street."""
    clip, annotated = folder / "street.mp4", folder / "annotated.mp4"
    write_street_clip(clip, at_s, 1280, 720)
    replay(
        ReplayRequest(clip=clip, scene=scene, events=folder / "events.jsonl", annotate=annotated)
    )
    with av.open(str(annotated)) as video:
        *_, last = video.decode(video=0)
    return last.to_ndarray(format="bgr24")


def take_editor(folder: Path) -> None:
    """The scene editor on the rendered street: an office screen in English, and a phone in Arabic."""
    clip, picture, scene = folder / "street.mp4", folder / "street.png", folder / "scene.toml"
    write_street_clip(clip, 26.5, 1280, 720)
    with av.open(str(clip)) as video:
        *_, last = video.decode(video=0)
    cv2.imwrite(str(picture), last.to_ndarray(format="bgr24"))
    scene.write_text(_scene_example())
    page = EditorPage(write_scene_page(picture, scene), folder)
    page.set_screen(EDITOR_WIDTH_PX, EDITOR_HEIGHT_PX)
    page.find("[data-row=zone-0]").click()
    page.settle()
    _write_screenshot("scene-editor.jpg", page, EDITOR_WIDTH_PX, EDITOR_HEIGHT_PX)
    page.open()
    page.set_screen(*PHONE_PX, dark=True)
    page.choose_language("ar")
    page.find("[data-row=zone-2]").click()
    page.run("scrollTo(0, 0)")
    page.settle()
    _write_screenshot("scene-editor-phone.jpg", page, *PHONE_PX)
    page.close()


def take_editor_views(folder: Path) -> None:
    """The scene editor's replay, its presets of a head, and its ground panel."""
    for name, jpeg in take_views(folder, STREET_SCENE):
        (DOCS / name).write_bytes(jpeg)


def _write_screenshot(name: str, page: EditorPage, width_px: int, height_px: int) -> None:
    clip = {"x": 0, "y": 0, "width": width_px, "height": height_px, "scale": 1}
    options = {"format": "jpeg", "quality": JPEG_QUALITY, "clip": clip}
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", options)
    (DOCS / name).write_bytes(base64.b64decode(shot["data"]))


def take_panorama(folder: Path) -> None:
    """The panorama of `vigie demo --ptz`, cropped to a rectangle."""
    command = [sys.executable, "-m", "agent", "demo", "--ptz", "--out", str(folder / "demo")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - this program
    panorama = np.asarray(cv2.imread(str(folder / "demo" / "panorama.jpg")))
    black_ratios = (panorama.max(axis=2) < BLACK).mean(axis=1)
    _write_jpeg("panorama.jpg", panorama[black_ratios < MAX_BLACK_RATIO])


def take_fisheye(_folder: Path) -> None:
    """The rendered avenue as a fisheye camera on its pole sees it, with two flat views and a panorama of it."""
    lens = resolve_lens(LensConfig(field_of_view_deg=185))
    planes = bgr_to_planes(render_avenue(lens, FISHEYE_PX, FISHEYE_PX)(FISHEYE_S, 0))
    frame = Frame(seq=0, t_ns=0, y=planes[0], u=planes[1], v=planes[2])
    whole = crop_rgb(frame, full_region(frame), (600, 600))
    ahead, behind = (
        _view_picture(
            lens,
            frame,
            ViewOptions(camera="a", pan_deg=pan_deg, tilt_deg=-25, width_px=600, height_px=300),
        )
        for pan_deg in (0, 180)
    )
    around = ViewOptions(
        camera="a",
        projection="panorama",
        tilt_deg=-40,
        field_of_view_deg=360,
        width_px=1200,
        height_px=300,
    )
    upper = np.hstack([whole, np.vstack([ahead, behind])])
    picture = np.vstack([upper, _view_picture(lens, frame, around)])
    _write_jpeg("fisheye.jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def take_fisheye_editor(folder: Path) -> None:
    """The scene editor with the fisheye picture of the avenue: edges of the street as lines of the lens, and two views."""
    lens = resolve_lens(LensConfig(field_of_view_deg=185))
    picture, views = folder / "around.png", folder / "views.toml"
    cv2.imwrite(str(picture), render_avenue(lens, FISHEYE_PX, FISHEYE_PX)(FISHEYE_S, 0))
    ahead_m = np.array([-40.0, -16.0, -7.0, -2.5, 2.5, 7.0, 16.0, 40.0])
    lines = []
    for x_m in (FRONT_X_M[0], -ROAD_HALF_M, FRONT_X_M[1]):
        rays = np.stack([0 * ahead_m + x_m - POLE_X_M, 0 * ahead_m - POLE_HEIGHT_M, ahead_m], -1)
        lines.append(lens.project(lens.to_camera(rays), 1.0).round(4).tolist())
    options = ("pan_deg = 0, tilt_deg = -25", "pan_deg = 115, tilt_deg = -40")
    views.write_text(
        f"[settings.camera.around]\nlens = {{ field_of_view_deg = 185, aspect = 1, straight = {lines} }}\n"
        + "".join(
            f'[settings.camera.{name}]\ndriver = "view"\n'
            f'options = {{ camera = "around", {option}, width_px = 1280 }}\n'
            for name, option in zip(("avenue", "square"), options, strict=True)
        )
    )
    page = EditorPage(write_scene_page(picture, None, read_views("around", views)), folder)
    page.set_screen(EDITOR_WIDTH_PX, EDITOR_HEIGHT_PX)
    page.wait_until(lambda: page.run("return document.querySelector('canvas').height > 1"))
    page.run("document.querySelector('.fisheye-preview').scrollIntoView({ block: 'end' })")
    page.settle()
    _write_screenshot("scene-editor-fisheye.jpg", page, EDITOR_WIDTH_PX, EDITOR_HEIGHT_PX)
    page.close()


def _view_picture(lens: FisheyeLens, frame: Frame, view: ViewOptions) -> npt.NDArray[Any]:
    dewarped = Dewarper(lens, view).dewarp(frame)
    return crop_rgb(dewarped, full_region(dewarped), (view.width_px, view.height_px))


def take_console(folder: Path) -> None:
    """A technician at the cable of a box, one camera of which is not plugged in."""
    with ExitStack() as stack:
        broker = _start_broker(folder, stack)
        stack.callback(RunningCentre(broker.url, folder / "centre.db").close)
        box = _start_box(folder, broker, "casa-0001", "Bd Mohammed V / Rue Chaouia", stack, DARK)
        technician = ConsoleTechnician(box.folder)
        stack.callback(technician.unplug)

        def type_line(line: str, ending: str = "casa-0001> ") -> str:
            technician.send(line.encode() + b"\r")
            return technician.read_until(ending)

        screen = technician.read_until(LOGGED_OUT_PROMPT).lstrip()
        screen += type_line("login amina", "Answer: ")
        challenge = re.findall("Challenge: (.*)", screen)[0].strip()
        secret = read_secret(box.folder / "console.secret")
        screen += type_line(compute_code(secret, parse_challenge(challenge)))
        while "CAM-01" not in (checked := type_line("check 6")):
            pass
        screen += checked + type_line("camera north") + type_line("mqtt ping 2")
    _write_terminal("console.svg", Text(screen), "vigie console: 115200 baud, 8N1", 80)


def take_graphics(folder: Path) -> None:
    """The picture of a camera with a mask, in the graphics of a real terminal program."""
    with ExitStack() as stack:
        broker = _start_broker(folder, stack)
        box = _start_box(
            folder, broker, "casa-0001", "Bd Mohammed V / Rue Chaouia", stack, scene=MASK
        )
        technician = ConsoleTechnician(box.folder)
        stack.callback(technician.unplug)
        window = stack.enter_context(TerminalWindow(folder))
        prompt = technician.log_in().encode().splitlines()[-1] + b"\r\n" + CONSOLE_PROMPT
        os.write(window.fd, prompt)
        technician.send(b"camera north picture\r")
        shown = b""
        while not shown.endswith(CONSOLE_PROMPT):
            readable, _, _ = select.select([technician.pty_master, window.fd], [], [])
            if window.fd in readable:
                technician.send(os.read(window.fd, READ_BYTES))
            if technician.pty_master in readable:
                data = os.read(technician.pty_master, READ_BYTES)
                os.write(window.fd, data)
                shown += data
        cv2.imwrite(str(DOCS / "console-picture.png"), window.take_picture())


def take_fleet(folder: Path) -> None:
    """`vigie watch` as a centre with four boxes: two online, one stopped, one lost."""
    with ExitStack() as stack:
        broker = _start_broker(folder, stack)
        store = CentreStore.open(folder / "centre.db")
        stack.callback(store.close)
        options = WatchOptions(
            broker=BrokerConfig(url=broker.url), box=None, centre=ActingCentre(store=store)
        )

        def start_boxes() -> None:
            _start_box(folder, broker, "casa-0001", "Bd Mohammed V / Rue Chaouia", stack)
            _start_box(folder, broker, "casa-0002", "Bd Zerktouni / Bd d'Anfa", stack, DARK)
            stopped = _start_box(folder, broker, "casa-0003", "Place Maarif", stack)
            lost = _start_box(folder, broker, "casa-0004", "Bd de la Corniche", stack)
            stopped.stop(signal.SIGTERM)
            lost.stop(signal.SIGKILL)

        _write_svg("fleet.svg", asyncio.run(_photograph_watch(options, start_boxes)))


async def _photograph_watch(options: WatchOptions, start_boxes: Callable[[], None]) -> str:
    """Return the screen of `vigie watch` as SVG, once it shows all that the pages write about."""
    with receiving_screen(options) as screen:
        async with screen.run_test(size=(WATCH_COLUMNS, WATCH_ROWS)) as pilot:
            await asyncio.to_thread(start_boxes)
            svg = ""
            while not all(
                word in svg
                for word in ("CAM-01", "zebra", "1&#160;lost", "1&#160;stopped", "1&#160;good")
            ):
                await pilot.pause(0.2)
                svg = screen.export_screenshot(title="vigie watch")
            return svg


def take_verify(folder: Path) -> None:
    """The page of an export, of a good one and of one with a changed byte."""
    box = StreetBox(folder / "box", "casa-0001")
    box.record("north", 1, 14)
    box.export("north", 2, 9, folder / "good")
    known = Workbench(folder / "good", box.identity, box.identity).heads(arrival_ms)[:-1]
    shutil.copytree(folder / "good", folder / "tampered")
    forger = Workbench(folder / "tampered", box.identity, box.identity)
    forger.flip_bit(forger.segments[1])
    for name in ("good", "tampered"):
        page = VerifierPage(folder / name / "verify.html", folder / f"profile-{name}")
        page.choose_language("en")
        page.enter_known_values(box.public_key, "")
        page.paste_heads("\n".join(format_head(head) for head in known))
        page.check_folder(folder / name)
        page.driver.set_window_size(PAGE_WIDTH_PX, 600)
        height_px = page.driver.execute_script(
            "document.getElementById('known').open = false;"
            "const shown = [...document.querySelectorAll('output, section')].filter((e) => !e.hidden);"
            "return shown.at(-1).getBoundingClientRect().bottom + scrollY + 16"
        )
        clip = {"x": 0, "y": 0, "width": PAGE_WIDTH_PX, "height": height_px, "scale": 1.1}
        shot = page.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        (DOCS / f"verify-{name}.png").write_bytes(base64.b64decode(shot["data"]))
        page.close()


def take_pole(folder: Path) -> None:
    """The page at the pole, on phones side by side."""
    for name, picture in take_phones(folder, MAX_WIDTH_PX):
        _write_jpeg(name, picture)


def take_count(folder: Path) -> None:
    """The report of `vigie count` on the rendered street."""
    _write_jpeg("count-report.jpg", take_report(folder, STREET_SCENE))


def take_eye(folder: Path) -> None:
    """The page of `vigie validate count`: the film with its line, keys, and a difference of two people."""
    _write_jpeg("count-by-eye.jpg", take_count_by_eye(folder, STREET_SCENE))


def _start_broker(folder: Path, stack: ExitStack) -> Mosquitto:
    broker = Mosquitto(folder)
    stack.callback(broker.stop, signal.SIGKILL)
    return broker


def _start_box(
    folder: Path,
    broker: Mosquitto,
    name: str,
    site: str,
    stack: ExitStack,
    extra: str = "",
    scene: str = "",
) -> AgentBox:
    """Start the agent of a box at a street; `extra` and `scene` are added to its configuration and scene."""
    box = AgentBox(folder / name, broker.url)
    toml = box.folder / "vigie.toml"
    text = re.sub(r"^id = .*$", f'id = "{name}"', toml.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^site = .*$", f'site = "{site}"', text, flags=re.MULTILINE)
    toml.write_text(text + extra)
    (box.folder / "scene.toml").write_text(STREET_SCENE.read_text() + scene)
    write_console_secret(box.folder)
    stack.callback(box.kill)
    box.start()
    return box


def _write_terminal(name: str, text: Text, title: str, columns: int) -> None:
    """Write text as an SVG of a terminal: without fonts to load, and without a window's buttons."""
    console = Console(record=True, width=columns, file=io.StringIO())
    console.print(text)
    _write_svg(name, console.export_svg(title=title, unique_id=Path(name).stem))


def _write_svg(name: str, svg: str) -> None:
    unwanted = re.compile(
        r"@font-face \{.*?\}|<circle.*?>|<!--.*?-->|^\s+", re.DOTALL | re.MULTILINE
    )
    (DOCS / name).write_text(unwanted.sub("", svg), encoding="utf-8")


def _write_jpeg(name: str, picture: npt.NDArray[Any]) -> None:
    """Write a picture, blue first, no wider than a page."""
    height_px, width_px = picture.shape[:2]
    size_px = (MAX_WIDTH_PX, round(height_px * MAX_WIDTH_PX / width_px))
    small = cv2.resize(picture, size_px, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(DOCS / name), small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


PICTURES: dict[str, Callable[[Path], None]] = {
    "street": take_street,
    "scene": take_scene,
    "editor": take_editor,
    "editor-views": take_editor_views,
    "panorama": take_panorama,
    "fisheye": take_fisheye,
    "fisheye-editor": take_fisheye_editor,
    "console": take_console,
    "graphics": take_graphics,
    "fleet": take_fleet,
    "verify": take_verify,
    "pole": take_pole,
    "count": take_count,
    "count-by-eye": take_eye,
}

if __name__ == "__main__":
    for each in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            PICTURES[each](Path(folder))
