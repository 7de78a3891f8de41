"""The pages for operators: each printed command runs as it is printed, with the printed broker and access list.

Replaced are the broker's host and ports alone, by those of a mosquitto on this machine.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.broker import (
    DOCS,
    Mosquitto,
    documented_config,
    read_doc_block,
    write_access_list,
)
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox

PEOPLE = {"amina": "operator", "jonas": "supervisor", "salma": "supervisor"}
SCENE = '[[line]]\nname = "stop line"\nfrom = [0.1, 0.6]\nto = [0.9, 0.6]\n'
CONFIG = """
[box]
id = "pole-17"
site = "Bd Zerktouni"
groups = ["zerktouni"]
state = "state"
{broker}
[control]
ca = "control-ca.pem"
[health]
interval_s = 5
[[camera]]
name = "north"
driver = "fake"
options = {{ width_px = 320, height_px = 180, fps = 10 }}
[camera.detect]
enabled = false
[[camera]]
name = "dome"
driver = "fake"
options = {{ width_px = 320, height_px = 180, fps = 10 }}
[camera.detect]
enabled = false
[[head]]
name = "mast"
driver = "fake"
camera = "dome"
"""
CONNECTING = re.compile(r"vigie (?:send|configure|incident|watch|key revoke)\b")


def printed_blocks(page: str) -> list[str]:
    """The shell blocks of a page that connect to the broker."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh[^\n]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if CONNECTING.search(block)]


class Pole(AgentBox):
    """The box of the pages, with a clock that is trusted."""

    command = (str(Path(__file__).parent / "trusted_run.py"), "--config", "vigie.toml")

    def __init__(self, folder: Path, broker: str) -> None:
        super().__init__(folder, "")
        (folder / "vigie.toml").write_text(CONFIG.format(broker=broker))


class City:
    """A broker, a control authority, people and a centre, made with the commands of the pages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority = self._make_folder("authority")
        self._mosquitto: Mosquitto | None = None
        self._ending = ExitStack()

    def begin(self) -> None:
        """Run the commands in the order of the pages, and start the box."""
        root = self.root
        self.run("authority", read_doc_block("centre.md", "certificates"))
        self.run("authority", read_doc_block("centre.md", "two-certificates"))
        tls = self.authority / "tls"
        write_access_list(tls, "vigie.acl", "two-centres.acl")
        (root / "broker").mkdir()
        self._mosquitto = Mosquitto(root / "broker", documented_config(tls))
        self._ending.callback(self._mosquitto.stop, signal.SIGKILL)
        self.run("authority", read_doc_block("control-keys.md", "authority"))
        for name in (*PEOPLE, "authority"):
            self._settle(name)
        for name, role in PEOPLE.items():
            self._certify(name, role)
        for name in ("centre", "active", "standby"):
            folder = self._make_folder(name)
            self._copy(tls, folder, "ca.crt", f"{name}.crt", f"{name}.key")
        self.run("centre", read_doc_block("control-keys.md", "request-centre"))
        self._copy(root / "centre", self.authority, "centre-control.csr")
        self.run("authority", read_doc_block("control-keys.md", "issue-centre"))
        self._copy(self.authority, root / "centre", "centre.pem")
        self.pole = Pole(
            self._make_folder("pole"), self.as_printed(read_doc_block("centre.md", "box"))
        )
        self._copy(tls, self.pole.folder, "ca.crt", "pole-17.crt", "pole-17.key")
        self._copy(self.authority / "control", self.pole.folder, "control-ca.pem")
        self._ending.callback(self.pole.kill)
        watch = self.start("centre", read_doc_block("control-keys.md", "centre"))
        self._ending.callback(self.stop, watch)
        self.pole.start()
        # The preset of the pages.
        self.run("jonas", "vigie send pole-17 ptz do=set_preset head=mast preset=gate")

    def close(self) -> None:
        """Stop all of it."""
        self._ending.close()

    def as_printed(self, text: str) -> str:
        """A printed text with the address of the broker of this machine."""
        if self._mosquitto is not None:
            for port, own in (
                ("8883", self._mosquitto.port),
                ("8884", self._mosquitto.people_port),
            ):
                text = text.replace(f"broker.example.org:{port}", f"localhost:{own}")
        return text.replace("broker.example.org", "localhost")

    def run(self, person: str, block: str, typed: str | None = None) -> str:
        """Run a block on a person's machine, and return its standard output. `typed` is at a terminal."""
        process = self._popen(person, block, typed)
        out, errors = process.communicate(timeout=4 * TIMEOUT_S)
        assert process.returncode == 0, f"{block}{out}{errors}{self._pole_log()}"
        return out

    def start(self, person: str, block: str) -> subprocess.Popen[str]:
        """Start a `vigie watch`, and return it once it is connected."""
        process = self._popen(person, f"exec {block.strip()}", None)
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "connected to mqtts://" in line:
                return process
        raise AssertionError(f"{block}{lines}")

    def stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0

    def folder(self, person: str) -> Path:
        return self.root / person

    def _popen(self, person: str, block: str, typed: str | None) -> subprocess.Popen[str]:
        folder = self.root / person
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        stdin: int = subprocess.DEVNULL
        if typed is not None:
            terminal, stdin = os.openpty()
            self._ending.callback(os.close, terminal)
            self._ending.callback(os.close, stdin)
            os.write(terminal, typed.encode())
        return subprocess.Popen(
            ["sh", "-eu", "-c", self.as_printed(block)],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "PATH": programs},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _pole_log(self) -> str:
        pole = getattr(self, "pole", None)
        return "" if pole is None else pole.log[-2000:]

    def _settle(self, name: str) -> None:
        """Give a person their certificate, and the printed settings."""
        folder = self.root / name / ".config" / "vigie"
        folder.mkdir(parents=True)
        self._copy(self.authority / "tls", folder, "ca.crt", f"{name}.crt", f"{name}.key")
        settings = self.as_printed(read_doc_block("centre.md", "centre.toml"))
        (folder / "centre.toml").write_text(settings.replace("amina", name))

    def _certify(self, name: str, role: str) -> None:
        """The printed commands are those of amina, an operator."""
        folder = self.root / name / ".config" / "vigie"
        request = read_doc_block("control-keys.md", "request").replace("amina", name)
        self.run(name, request)
        self._copy(folder, self.authority, f"{name}-control.csr")
        issue = read_doc_block("control-keys.md", "issue").replace("Amina El Fassi", name)
        self.run("authority", issue.replace("amina", name).replace("operator", role))
        self._copy(self.authority, folder, f"{name}.pem")

    def _make_folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir()
        return folder

    @staticmethod
    def _copy(source: Path, target: Path, *names: str) -> None:
        for name in names:
            (target / name).write_bytes((source / name).read_bytes())
            (target / name).chmod((source / name).stat().st_mode)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    # A short path: unix(7) allows 107 bytes for that of a socket.
    city = City(tmp_path_factory.mktemp("city"))
    try:
        city.begin()
        yield city
    finally:
        city.close()


@pytest.mark.parametrize("page", ["operator.md", "operator.fr.md", "operator.ar.md"])
def test_each_command_of_the_operators_quick_start_that_connects_works(
    page: str, city: City
) -> None:
    watch, send = printed_blocks(f"quickstart/{page}")
    city.stop(city.start("amina", watch))
    city.run("amina", send)


@pytest.mark.parametrize(
    "page", ["flash.md", *(f"quickstart/installer{language}.md" for language in ("", ".fr", ".ar"))]
)
def test_the_installer_watches_one_box(page: str, city: City) -> None:
    (watch,) = printed_blocks(page)
    city.stop(city.start("amina", watch.replace(".venv/bin/", "")))


def test_the_command_of_the_incident_page_gets_the_reports_of_the_boxes(city: City) -> None:
    (order,) = printed_blocks("incidents.md")
    assert "pole-17  running" in city.run("amina", order)


def test_two_tools_of_one_person_lose_none_of_twenty_stops(city: City) -> None:
    def stop(_number: int) -> str:
        return city.run("amina", "vigie send pole-17 ptz do=stop head=mast --json")

    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(stop, range(20)))
    assert ['"state":"done"' in reply for reply in replies] == [True] * 20


def test_the_commands_of_the_page_on_desired_configuration_change_the_box(city: City) -> None:
    folder = city.folder("jonas")
    (folder / "version.toml").write_text(read_doc_block("desired-configuration.md", "version.toml"))
    for name in ("north", "gate"):
        (folder / f"{name}.toml").write_text(SCENE)
    configure, show_and_merge = printed_blocks("desired-configuration.md")
    with ThreadPoolExecutor(1) as pool:
        configured = pool.submit(city.run, "jonas", configure)
        # The version restarts the agent, which its service manager would start again.
        assert city.pole.wait_for_exit() == 0
        city.pole.start()
        configured.result()
    city.run("jonas", show_and_merge)
    assert "segment_s = 5" in (folder / "version.toml").read_text()


def test_the_commands_of_the_page_on_validation_send_a_proof(city: City) -> None:
    folder = city.folder("jonas")
    (folder / "clips").mkdir()
    write_street_clip(folder / "clips" / "street.mp4", 3.0)
    crossing = {"t": 1.5, "pos": 0.5, "dir": "A->B", "class": "car", "sure": True}
    clip = {"line": [0.22, 0.5, 0.74, 0.5], "duration": 2.0, "crossings": [crossing]}
    (folder / "clips" / "counts.json").write_text(json.dumps({"street": clip}))
    (folder / "north.toml").write_text(
        '[[line]]\nname = "stop"\nfrom = [0.22, 0.5]\nto = [0.74, 0.5]\n'
    )
    (block,) = printed_blocks("validate.md")
    city.run("jonas", block)
    assert "[proofs.north]" in city.run("jonas", "vigie configure pole-17 --show")


def test_both_printed_centres_run_at_once(city: City) -> None:
    watches = [
        city.start(name, read_doc_block("centre.md", name)) for name in ("active", "standby")
    ]
    for name in ("active", "standby"):
        wait_until((city.folder(name) / f"{name}.db").exists)
    for watch in watches:
        city.stop(watch)


def test_the_commands_of_the_page_on_control_keys_work(city: City) -> None:
    city.run("amina", read_doc_block("control-keys.md", "amina"))
    (city.folder("jonas") / "north.toml").write_text(SCENE.replace("0.6", "0.7"))
    city.run("jonas", read_doc_block("control-keys.md", "jonas"))
    saved = (city.folder("jonas") / "version.jws").read_bytes()
    (city.folder("salma") / "version.jws").write_bytes(saved)
    city.run("salma", read_doc_block("control-keys.md", "salma"), typed="y\n")
    # Amina's certificate counts no more.
    revoke = read_doc_block("control-keys.md", "revoke")
    assert "published at mqtts://" in city.run("authority", revoke)
    with pytest.raises(AssertionError, match="revoked"):
        city.run("amina", "vigie send pole-17 ptz do=list")


def test_each_printed_command_that_connects_is_run_here() -> None:
    number_by_page = {
        page.relative_to(DOCS).as_posix(): len(printed_blocks(page.relative_to(DOCS).as_posix()))
        for page in sorted(DOCS.rglob("*.md"))
        if page.parent.name != "decisions"
    }
    assert {page: number for page, number in number_by_page.items() if number} == {
        "centre.md": 3,
        "control-keys.md": 5,
        "desired-configuration.md": 2,
        "flash.md": 1,
        "incidents.md": 1,
        "models.md": 1,  # it needs the server of the model as well
        "rehearsal.md": 2,  # they need recorded footage: test_rehearse_command.py
        "scene-editor.md": 1,  # it needs a fisheye camera: test_configure_views.py
        "validate.md": 1,
        **{f"quickstart/operator{language}.md": 2 for language in ("", ".fr", ".ar")},
        **{f"quickstart/installer{language}.md": 1 for language in ("", ".fr", ".ar")},
    }
