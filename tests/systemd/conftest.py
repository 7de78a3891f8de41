"""One container for all tests: it takes some seconds to boot."""

from collections.abc import Iterator

import pytest

from tests.systemd.container import Container

CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V / Rue Chaouia"
[broker]
url = "mqtt://127.0.0.1"
ack = "broker"
[[camera]]
name = "north"
driver = "fake"
options = { width_px = 640, height_px = 360 }
[[head]]
name = "mast"
driver = "fake"
[gpio]
driver = "fake"
[[pin]]
name = "fan"
kind = "fan"
pin = 23
"""


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    made = Container(tmp_path_factory.mktemp("container"), {"vigie/vigie.toml": CONFIG})
    try:
        # As on a box whose image has just booted: the units enabled at first are.
        made.run("systemctl", "preset-all", "--preset-mode=enable-only")
        made.run("systemctl", "start", "broker.service", "vigie-agent.service")
        made.run("systemctl", "start", "--no-block", "multi-user.target", "timers.target")
        yield made
    finally:
        made.close()
