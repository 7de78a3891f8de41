"""agent.config.configuration: a mistake is refused in one line, paths are anchored."""

from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.config import configuration
from agent.config.names import is_identifying

BROKER = """url = "mqtts://centre.example:8883"
ca = "ca.pem"
certificate = "box.pem"
key = "/etc/vigie/box.key\""""
GOOD = f"""
[box]
id = "casa-0001"
site = "Bd Zerktouni / Rue d'Alger"
state = "state"

[broker]
{BROKER}

[[camera]]
name = "north"
driver = "replay"
options = {{ path = "clip.mp4" }}
[camera.detect]
scene = "north.toml"
"""
PUBLIC_KEY = f"public_key = '{'A' * 43}='\n"
HEAD = "[[head]]\nname = 'mast'\ndriver = 'fake'\n"
SECTOR = f"{HEAD}[[head.forbidden]]\nname = 'windows'\npan_deg = [0, 9]\n"
TECHNICIAN = f"[[console.technician]]\nid = 'amina'\n{PUBLIC_KEY}"


def written(folder: Path, text: str) -> Path:
    file = folder / "box.toml"
    file.write_text(text)
    return file


def test_relative_paths_start_at_the_configurations_folder(tmp_path: Path) -> None:
    good = configuration.load(written(tmp_path, GOOD))
    assert good.box.state == str(tmp_path / "state")
    assert good.camera[0].options == {"path": str(tmp_path / "clip.mp4")}
    assert good.broker.ca == str(tmp_path / "ca.pem")
    assert good.broker.key == "/etc/vigie/box.key"
    assert good.camera[0].detect.scene == str(tmp_path / "north.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("[box]", "[bx]"),
            "bx: unknown key; allowed: box, broker, camera, outbox, record, hold, health",
        ),
        (("[box]", "[link]\nmetered = true\n[box]"), "metered = true: needs bytes_per_day"),
        (
            ("[box]", "[link]\nupload_hosts = ['https://a']\n[box]"),
            "link.upload_hosts[0] = 'https://a': allowed: a name or an address, without a port",
        ),
        (
            ("[box]", "[box]\ntime_zone = 'Africa/Casa'"),
            "time_zone = 'Africa/Casa': unknown; allowed: such as Africa/Casablanca",
        ),
        (("casa-0001", "Casa 1"), "box.id = 'Casa 1': allowed: lower case letters"),
        (("casa-0001", r"casa-0001\n"), r"box.id = 'casa-0001\n': allowed: lower case letters"),
        (('"replay"', "5"), "camera[0].driver = 5: allowed: a text"),
        (("name =", "fps = 5\nname ="), "camera[0].fps: unknown key; allowed: name, driver"),
        (("scene =", "fps = 0\nscene ="), "camera[0].detect.fps = 0: allowed: 0.1 or more"),
        (
            ("[[camera]]", "[record]\nmax_age_h = 2161\n[[camera]]"),
            "record.max_age_h = 2161: allowed: at most 2160",
        ),
        (
            ("[[camera]]", "[hold]\nevent_days = 90.5\n[[camera]]"),
            "hold.event_days = 90.5: allowed: at most 90",
        ),
        (("mqtts://centre.example:8883", "http://x"), "broker.url = 'http://x': not a broker's"),
        (("centre.example:8883", "centre:99999"), "broker.url = 'mqtts://centre:99999': not a"),
        (("mqtts://centre", "mqtts://u:p@centre"), "without user or path"),
        (("centre.example", "[fd00::1"), "broker.url = 'mqtts://[fd00::1:8883': not a broker's"),
        (("centre.example", "centre]"), "broker.url = 'mqtts://centre]:8883': not a broker's"),
        (("centre.example", "[centre]"), "allowed: mqtt://HOST[:1883] or mqtts://HOST[:8883]"),
        (("centre.example:8883", "centre:0"), "broker.url = 'mqtts://centre:0': not a broker's"),
        (
            ("[[camera]]", f"[update]\nfeed = 'https://[fd00::1/x'\n{PUBLIC_KEY}[[camera]]"),
            "update.feed = 'https://[fd00::1/x'; allowed: https://HOST/PATH",
        ),
        (
            ("[[camera]]", f"[update]\nfeed = 'https://centre:x/'\n{PUBLIC_KEY}[[camera]]"),
            "update.feed = 'https://centre:x/'; allowed: https://HOST/PATH",
        ),
        (
            ("[camera.detect]", "[camera.onvif]\nurl = 'http://[fd00::1'\n[camera.detect]"),
            "camera[0].onvif: url = 'http://[fd00::1': not a URL; allowed: such as http://10.0.0.31",
        ),
        (
            (BROKER, 'url = "mqtt://centre.example"'),
            "broker.url = 'mqtt://centre.example': neither encrypted nor authenticated; allowed: mqtts://",
        ),
        (("mqtts://", "mqtt://"), "broker.ca: has no use with 'mqtt://centre.example:8883'"),
        (('key = "/etc/vigie/box.key"', ""), "broker.key: missing; broker.certificate needs it"),
        (
            ("[broker]", "[broker]\ncentres = ['city', 'city']"),
            "broker.centres[1] = 'city': named twice; allowed: each centre once",
        ),
        (
            ("[broker]", "[broker]\ncentres = ['city']\nack = 'broker'"),
            'broker.centres: has no use with ack = "broker"; allowed: with ack = "auto"',
        ),
        (
            ("[broker]", "[broker]\ncentres = ['a/b']"),
            "broker.centres[0] = 'a/b': allowed: lower case letters, digits",
        ),
        (
            ("[broker]", f"[broker]\ncentres = {[f'c{n}' for n in range(9)]}"),
            "allowed: at most 8 items",
        ),
        (
            (
                "[camera.detect]",
                '[[camera]]\nname = "north"\ndriver = "x"\noptions = {}\n[camera.detect]',
            ),
            "camera[1].name = 'north': used by camera[0] already",
        ),
        (
            ('id = "casa-0001"', 'id = "watch"'),
            "box.id = 'watch': a topic and a client of the centre",
        ),
        (('name = "north"', 'name = "box"'), "camera[0].name = 'box': reserved for the box itself"),
        (
            ("[camera.detect]", "[camera.institution]\nowner = 'Tram'\n[camera.detect]"),
            "camera[0].institution.purpose: missing; it has to be given",
        ),
        (
            (
                "[camera.detect]",
                "[camera.institution]\nowner = 'T'\npurpose = 'p'\nmax_age_h = 73\n[camera.detect]",
            ),
            "max_age_h = 73: longer than the box keeps footage; allowed: up to record.max_age_h = 72",
        ),
        (
            ("[camera.detect]", "[camera.onvif]\nurl = 'http://a:b@c'\n[camera.detect]"),
            "camera[0].onvif.url = 'http://a:b@c': allowed: http://HOST[:PORT]",
        ),
        (
            (
                "[camera.detect]",
                "[camera.onvif]\nurl = 'http://c'\nusername = 'vigie'\n[camera.detect]",
            ),
            "camera[0].onvif: username and password_file go together",
        ),
        (
            (
                "[camera.detect]",
                "[camera.onvif]\nurl = 'http://c'\nevents = ['A/FaceDetect']\n[camera.detect]",
            ),
            "camera[0].onvif: events: 'A/FaceDetect' identifies people",
        ),
        (
            ("[[camera]]", "[record]\nreserve_bytes = 499_999_999\n[[camera]]"),
            "record.reserve_bytes = 499999999: allowed: 500000000 or more",
        ),
        (
            ("[[camera]]", f"{TECHNICIAN}{TECHNICIAN}[[camera]]"),
            "console.technician[1].id = 'amina': used by console.technician[0] already; allowed: an id",
        ),
        (
            ("[[camera]]", f"{SECTOR}tilt_deg = [30, -30]\n[[camera]]"),
            "head[0].forbidden[0]: tilt_deg = [30, -30]: allowed: the lower one first",
        ),
        (
            ("[[camera]]", f"{HEAD}fov_deg = {{ wide = 2.3, tele = 63.7 }}\n[[camera]]"),
            "head[0].fov_deg: tele = 63.7: allowed: up to wide = 2.3",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    file = written(tmp_path, GOOD.replace(*change, 1))
    with pytest.raises(UserError) as refused:
        configuration.load(file)
    line = str(refused.value)
    assert message in line
    assert line.startswith(str(file))
    assert "\n" not in line


def test_a_box_without_cameras_is_refused(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[[camera]]")].replace("[box]", "camera = []\n[box]")
    with pytest.raises(UserError, match=r"camera: allowed: 1 or more items"):
        configuration.load(written(tmp_path, text))


def test_an_institutions_camera_has_paths_and_viewers(tmp_path: Path) -> None:
    text = (
        GOOD
        + """
[camera.onvif]
url = "http://10.0.0.31"
username = "vigie"
password_file = "tram.password"
[camera.institution]
owner = "Casa Tramway"
purpose = "safety at the crossing"
viewers = ["Samira Alaoui"]
[[head]]
name = "tram"
driver = "onvif"
options = { url = "http://10.0.0.31", password_file = "tram.password", username = "vigie" }
"""
    )
    loaded = configuration.load(written(tmp_path, text))
    camera, head = loaded.camera[0], loaded.head[0]
    assert camera.onvif is not None
    assert camera.institution is not None
    assert camera.onvif.password_file == str(tmp_path / "tram.password")
    assert head.options["password_file"] == str(tmp_path / "tram.password")
    assert camera.institution.can_view("Samira Alaoui")
    assert not camera.institution.can_view("Nadia")
    assert msgspec.structs.replace(camera.institution, viewers=None).can_view("Nadia")
    assert not msgspec.structs.replace(camera.institution, viewers=()).can_view("Nadia")
    assert not msgspec.structs.replace(camera.institution, viewers=()).can_view("Nadia")


@pytest.mark.parametrize(
    ("topic", "identifies"),
    [
        ("RuleEngine/MyRuleDetector/FaceDetect", True),
        ("VideoAnalytics/facerecognition", True),
        ("RuleEngine/LicensePlateRecognition/Plate", True),
        ("Device/LPRResult", True),
        ("Device/Network/InterfaceState", False),
        ("RuleEngine/CellMotionDetector/Motion", False),
        ("Device/Trigger/DigitalInput", False),
    ],
)
def test_onvif_topics_that_identify_persons_are_recognised(topic: str, identifies: bool) -> None:
    assert is_identifying(topic) == identifies
