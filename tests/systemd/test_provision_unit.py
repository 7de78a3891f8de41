"""The first boot's unit: its sandbox allows just enough to provision a box."""

from collections.abc import Iterator

import pytest

from tests.settings_files import CONSOLE_SECRET, GOOD_SETTINGS, PASSWORD
from tests.systemd.container import Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

UNIT = "vigie-provision.service"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """An unconfigured container; its card is a folder."""
    made = Container(tmp_path_factory.mktemp("container"), {})
    try:
        made.run("mkdir", "-m", "700", "/select")
        yield made
    finally:
        made.close()


def test_without_settings_the_unit_reports_it_and_succeeds(fresh: Container) -> None:
    fresh.run("systemctl", "start", UNIT)
    assert fresh.unit_property(UNIT, "Result") == "success"
    assert "VIGIE: NO SETTINGS" in fresh.journal(UNIT)
    assert "DHCP=yes" in fresh.run("cat", "/run/systemd/network/50-vigie.network")


def test_with_wrong_settings_the_unit_fails_with_the_reason(fresh: Container) -> None:
    (fresh.root / "select/vigie-settings.toml").write_text(GOOD_SETTINGS.replace("rtsp:", "http:"))
    fresh.run("systemctl", "restart", UNIT, check=False)
    assert fresh.unit_property(UNIT, "ExecMainStatus") == "2"
    assert "camera[0].options.url = 'http://10.0.0.21/main'" in fresh.journal(UNIT)


def test_with_valid_settings_the_unit_makes_a_box_readable_by_the_agents_user(
    fresh: Container,
) -> None:
    (fresh.root / "select/vigie-settings.toml").write_text(GOOD_SETTINGS)
    fresh.run("systemctl", "restart", UNIT, check=False)
    journal = fresh.journal(UNIT)
    assert fresh.unit_property(UNIT, "Result") == "success", journal
    assert "VIGIE: box casa-0001 is set up" in journal
    owners = fresh.run("stat", "-c", "%U:%G %a %n", "/etc/vigie/vigie.toml", "/etc/vigie/box.key")
    assert owners.split("\n")[:2] == [
        "vigie:vigie 640 /etc/vigie/vigie.toml",
        "vigie:vigie 600 /etc/vigie/box.key",
    ]
    assert fresh.run("stat", "-c", "%U %a", "/select/casa-0001.csr.pem").strip() == "root 600"
    assert "server pool.ntp.org" in fresh.run("cat", "/run/vigie-time/chrony.conf")
    for secret in (PASSWORD, CONSOLE_SECRET):
        assert secret not in journal
        assert secret not in (fresh.root / "select/vigie-settings.toml").read_text()
    as_vigie = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
    reported = fresh.run(*as_vigie, "/opt/vigie/bin/vigie", "check-config", "/etc/vigie/vigie.toml")
    assert "good; box casa-0001" in reported


def test_a_killed_attempt_is_repeated_and_the_network_waits_for_it(fresh: Container) -> None:
    """As by the unit's own time-out, on a box so slow that it is reached."""
    fresh.run("systemctl", "stop", UNIT)
    fresh.run("systemctl", "reset-failed", check=False)
    drop_in = fresh.root / f"run/systemd/system/{UNIT}.d/killed.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(
        "[Service]\nExecStartPre=/bin/sh -c 'test -e /run/tried || { touch /run/tried; kill -9 $$$$; }'\n"
    )
    after = fresh.root / "run/systemd/system/after.service"
    after.write_text(
        f"[Unit]\nRequires={UNIT}\nAfter={UNIT}\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
    )
    fresh.run("systemctl", "daemon-reload")
    fresh.run("systemctl", "start", "after.service")
    assert (fresh.root / "run/tried").exists()
    assert fresh.unit_property(UNIT, "NRestarts") == "1"
    assert fresh.unit_property(UNIT, "Result") == "success"
    assert fresh.unit_property("after.service", "Result") == "success"


def test_the_unit_ends_before_the_network_and_the_agent_start(fresh: Container) -> None:
    before = fresh.unit_property(UNIT, "Before").split()
    for other in ("systemd-networkd.service", "network-pre.target", "vigie-agent.service"):
        assert other in before
