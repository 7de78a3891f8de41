"""A box at the rendered street with its agent, its page turned on, and a phone in a technician's hand."""

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from selenium.webdriver.support.ui import Select

from centre.demo.video_source import SCENES_FOLDER
from tests.whole.drawn_clip import write_street_clip
from tests.whole.no_room import no_room_for
from tests.whole.pole_page_box import PolePageBox, make_root
from tests.whole.pole_phone import PolePhone
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, fake_camera_toml

VIEWS = {
    "en": ("Picture", "Scene", "Checks", "Install", "Box"),
    "fr": ("Image", "Scène", "Contrôles", "Pose", "Boîtier"),
    "ar": ("الصورة", "المشهد", "الفحوص", "التركيب", "الصندوق"),
}
LANGUAGE_NAMES = {"en": "English", "fr": "Français", "ar": "العربية"}
MORE = """
[[camera]]
name = "mast"
driver = "fake"
options = {{ width_px = 320, height_px = 180, fps = 4 }}
detect = {{ enabled = false }}

[[camera]]
name = "yard"
driver = "replay"
options = {{ path = "{clip}", loop = true }}
detect = {{ fps = 1 }}

[[head]]
name = "mast"
driver = "fake"
camera = "mast"
lease_s = 2.0
fov_deg = {{ wide = 60.0, tele = 6.0 }}

[[head.tour]]
name = "round"

[[head.tour.stop]]
preset = "gate"
"""


class PoleStreet:
    """The box, its page and the phone. `mark` is put into the site, a line of the scene and a camera's path.

    `more` is added to the configuration.
    """

    def __init__(self, folder: Path, mark: str = "", more: str = "") -> None:
        with ExitStack() as stack:
            broker = Mosquitto(folder)
            stack.callback(broker.stop, signal.SIGKILL)
            self.box = AgentBox(
                folder / "box", broker.url, fake_camera_toml("fps = 4\n"), detect_fps=1
            )
            self.clip = self.box.folder / f"yard{mark}.mp4"
            self.scene = self.box.folder / "scene.toml"
            self._configure(mark, more)
            stack.callback(self.box.kill)
            self.box.start()
            self.page = PolePageBox(self.box.folder, make_root(folder / "root"))
            stack.callback(self.page.close)
            self.page.turn_on()
            self.phone = PolePhone(folder / "profile")
            stack.callback(self.phone.close)
            self._stack = stack.pop_all()

    def _configure(self, mark: str, more: str) -> None:
        # No whole number of seconds: a view is sampled once a second, and would be taken for frozen.
        write_street_clip(self.clip, 7.3, 320, 180)
        toml = self.box.folder / "vigie.toml"
        site = f'site = "Bd Mohammed V{mark}"'
        text = re.sub(r"^site = .*$", site, toml.read_text(), flags=re.MULTILINE)
        toml.write_text(text + MORE.format(clip=self.clip) + more)
        scene = (SCENES_FOLDER / "street.toml").read_text()
        self.scene.write_text(scene.replace('"zebra"', f'"zebra{mark}"'))

    def log_in(self) -> PolePhone:
        """Log the phone in with a fresh link, if it is not, and return it in English, in the light, at the first view."""
        phone = self.phone
        phone.prefer(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
        if "casa-0001" not in phone.text(".top"):
            phone.open(self.page.link())
            phone.wait_for_text("casa-0001", ".top")
        choose_language(phone, "en")
        phone.show_view("Picture")
        choose_camera(phone, "north")
        return phone

    @contextmanager
    def no_room(self) -> Iterator[None]:
        """Let the disk be full for the process that does the acts."""
        act_server = self.page.switch._act_server
        assert act_server is not None
        with no_room_for(act_server.pid):
            yield

    def close(self) -> None:
        self._stack.close()


def choose_language(phone: PolePhone, language: str) -> None:
    """Choose a language in the last view, unless it is chosen."""
    if phone.run("return document.documentElement.lang") != language:
        phone.run("location.hash = '#box'")
        phone.tap(LANGUAGE_NAMES[language], within="main")
        phone.wait_for_text(VIEWS[language][0], ".views")


def choose_camera(phone: PolePhone, camera: str) -> None:
    """Choose a camera of the view that is shown, by a touch of the field and one of the name."""
    (field,) = phone.select_all("main label select")
    phone.touches += 2
    Select(field).select_by_value(camera)


HAS_PICTURE = """
    const image = document.querySelector(".scene-editor .picture image");
    return image?.hasAttribute("href") && new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true))));
"""
"""Whether it is drawn: the picture's place follows its size in the next frame of the browser."""


def draw(phone: PolePhone, tool: str, *points: tuple[float, float]) -> None:
    """Choose a tool of the scene editor, and touch points of the picture, once the camera's first has its size on the stage."""
    phone.wait(lambda: phone.run(HAS_PICTURE), "picture of the scene editor")
    phone.tap(tool, within=".scene-editor .toolbar")
    for point in points:
        x_px, y_px = phone.run(
            "const image = document.querySelector('.scene-editor .picture image');"
            "image.closest('.stage').scrollIntoView({ block: 'center', behavior: 'instant' });"
            "const { left, top, width, height } = image.getBoundingClientRect();"
            "return [left + arguments[0] * width, top + arguments[1] * height]",
            *point,
        )
        phone.tap_at(x_px, y_px)
