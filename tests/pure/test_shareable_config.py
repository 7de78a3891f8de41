"""agent.config.shareable_config: the configuration without its secrets."""

import tomllib

from agent.config.shareable_config import REDACTED, redact_config
from agent.config.toml_writer import dumps

TEXT = """
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


def test_secrets_are_redacted_anywhere() -> None:
    shown = dumps(redact_config(tomllib.loads(TEXT)))
    assert "hunter2" not in shown
    assert "admin" not in shown
    assert "rtsp://10.0.0.21" in shown
    assert REDACTED in shown
