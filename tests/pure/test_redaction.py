"""agent.config.redaction: no secret leaves a configuration or a text."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import redaction
from agent.config.redaction import REDACTED, Redactor, redact_config, redacted_texts
from agent.config.toml_writer import dumps

EXAMPLE = Path(__file__).parents[2] / "docs" / "vigie.example.toml"


SECRET = "s3cr3t-Tr0ub4dor"  # noqa: S105 - planted


@pytest.mark.parametrize(
    "text",
    [
        f'[camera.options]\nurl = "rtsp://admin:{SECRET}@10.0.0.21/main"',
        f'[[camera]]\n[camera.options]\nurl = "rtsp://10.0.0.21/user=admin_password={SECRET}"',
        f'[[camera]]\n[camera.options]\nurl = "rtsp://10.0.0.21/main?token={SECRET}"',
        f'[[camera]]\n[camera.options]\npassword = "{SECRET}"',
        f'[[camera]]\n[camera.options]\nkey = "{SECRET}"',
        f'[[camera]]\n[camera.options.deep.deeper]\ndevice = "{SECRET}"',
        f'[[camera]]\n[camera.detect_options]\nurl = "{SECRET}"',
        f'[[camera]]\n[camera.onvif]\nurl = "http://{SECRET}@10.0.0.21/"',
        f'[[camera]]\n[camera.institution]\nviewers = ["{SECRET}"]',
        f'[[head]]\n[head.options]\nusername = "{SECRET}"',
        f'[broker]\nurl = "mqtt://vigie:{SECRET}@centre"',
        f'[broker]\nkey = "{SECRET}"',
        f'[broker]\npassword_file = "{SECRET}"',
        f'[broker]\nusername = "{SECRET}"',
        f'[broker]\npassword = "{SECRET}"',
        f'[broker]\nkey = """-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"""',
        f'[console]\nsecret = "{SECRET}"',
        f'[console]\nsecret_file = "smb://me:{SECRET}@nas/console"',
        f'pasword = "{SECRET}"',
        f'words = [["{SECRET}"], {{ a = "{SECRET}" }}]',
        "[pin]\nsim_pin_code = 314159",
    ],
)
def test_a_secret_anywhere_in_a_configuration_is_redacted(text: str) -> None:
    tables = tomllib.loads(text)
    shown = msgspec.json.encode(redact_config(tables)).decode()
    assert SECRET not in shown
    assert "314159" not in shown
    assert REDACTED in shown
    if SECRET in text:
        assert SECRET not in Redactor(redacted_texts(tables)).redact_text(f"x {SECRET} y")


def test_configuration_values_that_support_needs_are_shown() -> None:
    shown = redact_config(tomllib.loads(EXAMPLE.read_text()))
    assert shown["box"]["id"] == "casa-0001"
    assert shown["broker"]["url"] == "mqtts://centre.example:8883"
    assert shown["broker"]["keepalive_s"] == 30
    camera = shown["camera"][0]
    assert camera["options"] == {"url": f"rtsp://10.0.0.21/{REDACTED}"}
    assert camera["detect"]["model"] == "nanodet_320"
    assert camera["detect"]["scene"] == "north.scene.toml"
    around, view = shown["camera"][2:4]
    assert around["projection"] == "fisheye"
    assert (view["options"]["camera"], view["options"]["projection"]) == ("around", "flat")


VALUES: Any = st.recursive(
    st.sampled_from([SECRET, f"http://u:{SECRET}@h/", f"rtsp://h/{SECRET}", 7, True, "plain"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "options", "password", "key", "x"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["broker", "camera", "head", "z"]), VALUES))
def test_no_shape_of_a_configuration_shows_a_secret(tables: dict[str, Any]) -> None:
    assert SECRET not in msgspec.json.encode(redact_config(tables)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"opened rtsp://admin:{SECRET}@10.0.0.21/main",
        f"password={SECRET} was refused",
        f"'password': '{SECRET}'",
        f'{{"token": "{SECRET}"}}',
        f"GET /?pwd={SECRET}&x=1",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
    ],
)
def test_text_that_looks_like_a_secret_is_redacted(text: str) -> None:
    assert SECRET not in Redactor(()).redact_text(text)


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_known_secret_is_redacted_anywhere(before: str, after: str) -> None:
    scrubber = Redactor([SECRET])
    assert SECRET not in scrubber.redact_text(before + SECRET + after)
    assert SECRET not in str(scrubber.redact({before: [{"x": (SECRET + after,)}]}))
    assert SECRET not in str(scrubber.redact({before + SECRET: 1}))


def test_each_line_of_a_key_is_redacted_and_public_names_stay() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"
    scrubber = Redactor(["pole-17", *redaction.secrets_in_file(pem)], public=["pole-17"])
    assert scrubber.redact_text("pole-17 has MC4CAQAwBQYDK2VwBCIEIAAA") == f"pole-17 has {REDACTED}"
    assert redaction.secrets_in_file(f"{SECRET}\n")[1] == SECRET


CONFIG = """
[box]
id = "casa-0001"
[broker]
url = "mqtts://centre:8883"
[[camera]]
name = "north"
driver = "rtsp"
[camera.options]
url = "rtsp://admin:hunter2@10.0.0.21/main?password=hunter2"
password = "hunter2"
masks = [[0.1, 0.2], [0.3, 0.4]]
[kamera]
private = "hunter2"
# the old password was hunter2
"""


def test_a_shareable_configuration_contains_no_secret() -> None:
    shown = dumps(redact_config(tomllib.loads(CONFIG)))
    assert "hunter2" not in shown
    assert "admin" not in shown
    assert "rtsp://10.0.0.21" in shown
    assert REDACTED in shown
