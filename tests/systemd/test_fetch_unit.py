"""vigie-fetch@.service: root downloads by a process that is not root, in its sandbox."""

import pytest

from tests.systemd.container import CHECKOUT, Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

DROP_IN = "[Unit]\nConditionKernelCommandLine=\n"
SERVER = "10.80.0.1"
"""Not loopback, which is refused."""
WEB = f"{CHECKOUT}/.venv/bin/python -m http.server 8080 --bind {SERVER} --directory {CHECKOUT}"
FETCH = """
import sys
from pathlib import Path
from agent.update import download, fetch_client
get = fetch_client.make_http_get(Path("/"), None)
assert get.func is not fetch_client.direct_get(None).func
print(len(download.fetch_bytes(sys.argv[1], 1 << 20, get)))
"""


def test_root_downloads_by_another_user(container: Container) -> None:
    folder = container.root / "etc/systemd/system/vigie-fetch.socket.d"
    folder.mkdir()
    (folder / "test.conf").write_text(DROP_IN)
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "vigie-fetch.socket")
    container.run("ip", "address", "add", f"{SERVER}/32", "dev", "lo")
    container.run("systemd-run", "--unit=web", *WEB.split())
    container.wait_for(lambda: "8080" in container.run("ss", "-ltn"), "web server")
    fetch = ("/opt/vigie/bin/python", "-P", "-c", FETCH, f"http://{SERVER}:8080/LICENSE")
    size = (container.root / CHECKOUT.lstrip("/") / "LICENSE").stat().st_size
    assert container.run(*fetch).strip() == str(size)
    as_vigie = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
    with pytest.raises(AssertionError, match="Permission denied"):
        container.run(*as_vigie, *fetch)
    container.run("systemctl", "stop", "web.service")
