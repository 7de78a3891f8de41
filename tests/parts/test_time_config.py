"""[time] of a settings file becomes chronyd's configuration; mistakes are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import read_time_source
from agent.provisioning.time_config import (
    CA_FILE,
    CONFIG_FILE,
    SOURCE_FILE,
    TimeConfig,
    iter_time_problems,
    render_files,
)

NTS = TimeConfig(servers=("nts.example", "time.example"), nts=True, ca="time.pem")


def chrony_lines(time: TimeConfig, ca: str | None = None) -> list[str]:
    return render_files(time, ca)[CONFIG_FILE].splitlines()[1:]


def test_without_servers_nothing_sets_the_clock() -> None:
    assert render_files(TimeConfig(), None) == {}


def test_named_servers_are_the_only_sources() -> None:
    lines = chrony_lines(TimeConfig(servers=("10.4.0.1", "ntp.example")))
    sources = ("server", "pool", "peer", "sourcedir", "confdir", "include", "refclock", "local")
    assert [line for line in lines if line.startswith(sources)] == [
        "server 10.4.0.1 iburst",
        "server ntp.example iburst",
    ]
    assert {"rtcsync", "port 0", "cmdport 0"} <= set(lines)


def test_with_nts_every_server_authenticates_itself_by_the_settings_authority() -> None:
    lines = chrony_lines(NTS, "PEM")
    assert [line for line in lines if line.startswith("server")] == [
        "server nts.example iburst nts",
        "server time.example iburst nts",
    ]
    assert {
        "authselectmode require",
        "nosystemcert",
        f"ntstrustedcerts /run/vigie-time/{CA_FILE}",
    } <= set(lines)
    assert render_files(NTS, "PEM")[CA_FILE] == "PEM"


def test_without_an_authority_of_its_own_public_ones_count() -> None:
    lines = chrony_lines(TimeConfig(servers=("nts.example",), nts=True))
    assert not [line for line in lines if line.startswith(("nosystemcert", "ntstrustedcerts"))]


@pytest.mark.parametrize("nts", [True, False])
def test_the_agent_learns_whether_servers_authenticate_themselves(
    nts: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("time")
    for name, text in render_files(TimeConfig(servers=("a",), nts=nts), None).items():
        (folder / name).write_text(text)
    assert read_time_source(folder / SOURCE_FILE) == ("nts" if nts else "ntp")


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (TimeConfig(), ""),
        (TimeConfig(servers=("10.4.0.1", "pool.ntp.org", "time", "fd00::1")), ""),
        (NTS, ""),
        (TimeConfig(servers=("a b",)), "time.servers[0] = 'a b': not a server; allowed: a name"),
        (TimeConfig(servers=("a\nb",)), "time.servers[0] = 'a\\nb': not a server"),
        (TimeConfig(servers=("ntp.example\n",)), "not a server"),
        (TimeConfig(servers=("fe80::1%eth0",)), "not a server"),
        (TimeConfig(nts=True), "time.nts = true: there is no server; allowed: with time.servers"),
        (
            TimeConfig(servers=("a",), ca="ca.pem"),
            "time.ca = 'ca.pem': only NTS has certificates; allowed: with time.nts = true",
        ),
    ],
)
def test_a_mistake_is_reported(time: TimeConfig, message: str) -> None:
    reported = list(iter_time_problems(time, "x"))
    assert len(reported) == bool(message)
    assert message in "".join(reported)


@given(
    servers=st.lists(
        st.one_of(st.text(max_size=20), st.from_regex(r"[a-z0-9.: \n]{1,20}")), max_size=4
    ),
    nts=st.booleans(),
)
def test_no_accepted_value_adds_a_line_or_an_option(servers: list[str], nts: bool) -> None:
    time = TimeConfig(servers=tuple(servers), nts=nts)
    if list(iter_time_problems(time, "x")) or not servers:
        return
    lines = [line for line in chrony_lines(time) if line.startswith("server")]
    assert [line.split() for line in lines] == [
        ["server", server, "iburst", *(["nts"] if nts else [])] for server in servers
    ]
    others = chrony_lines(TimeConfig(servers=("a",), nts=nts))[1:]
    assert chrony_lines(time)[len(servers) :] == others
