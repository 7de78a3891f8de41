"""[network] of a settings file becomes files of systemd-networkd; invalid addresses are named."""

import configparser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.provisioning.network_config import (
    MAIN_FILE,
    OTHERS_FILE,
    NetworkConfig,
    find_problems,
    render_files,
)


def test_by_default_every_port_uses_dhcp() -> None:
    (text,) = render_files(NetworkConfig()).values()
    assert text.splitlines()[1:] == [
        "[Match]",
        "Type=ether",
        "Kind=!*",
        "",
        "[Network]",
        "DHCP=yes",
    ]


def test_a_fixed_address_uses_no_dhcp() -> None:
    network = NetworkConfig(address="10.4.0.17/24", gateway="10.4.0.1", dns=("10.4.0.1", "9.9.9.9"))
    (text,) = render_files(network).values()
    assert text.splitlines()[5:] == [
        "[Network]",
        "DHCP=no",
        "Address=10.4.0.17/24",
        "Gateway=10.4.0.1",
        "DNS=10.4.0.1",
        "DNS=9.9.9.9",
    ]


def test_configured_servers_replace_those_of_dhcp() -> None:
    (text,) = render_files(NetworkConfig(dns=("10.4.0.1",), ntp=("pool.ntp.org",))).values()
    assert "DNS=10.4.0.1\nNTP=pool.ntp.org\n" in text
    assert "[DHCPv4]\nUseDNS=no\nUseNTP=no\n" in text
    assert "[DHCPv6]\nUseDNS=no\nUseNTP=no\n" in text
    assert "[IPv6AcceptRA]\nUseDNS=no\n" in text


def test_each_kind_of_server_is_replaced_separately() -> None:
    (text,) = render_files(NetworkConfig(ntp=("pool.ntp.org",))).values()
    assert text.endswith("[DHCPv4]\nUseNTP=no\n\n[DHCPv6]\nUseNTP=no\n")
    assert "UseDNS" not in text


def test_the_other_ports_of_a_box_are_its_backup_routes() -> None:
    files = render_files(NetworkConfig(adapter="end0", address="10.4.0.17/24"))
    assert "[Match]\nName=end0\n" in files[MAIN_FILE]
    assert "Type=ether" in files[OTHERS_FILE]
    assert "RouteMetric=2048" in files[OTHERS_FILE]
    assert "10.4.0.17" not in files[OTHERS_FILE]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (NetworkConfig(address="10.4.0.17/24", gateway="10.4.0.1"), ""),
        (NetworkConfig(address="2001:db8::17/64", gateway="fe80::1"), ""),
        (NetworkConfig(address="10.4.0.0/31", gateway="10.4.0.1"), ""),
        (NetworkConfig(ntp=("10.4.0.1", "pool.ntp.org", "time")), ""),
        (NetworkConfig(address="10.4.0.17"), "network.address = '10.4.0.17': not a host address"),
        (
            NetworkConfig(address="10.4.0.0/24"),
            "not a host address with a prefix length",
        ),
        (NetworkConfig(address="10.4.0.255/24"), "not a host address"),
        (NetworkConfig(address="127.0.0.1/8"), "not a host address"),
        (NetworkConfig(address="10.4.0.17/0"), "not a host address"),
        (NetworkConfig(address="10.4.0.17/24\n"), "not a host address"),
        (NetworkConfig(address="fe80::1%eth0/64"), "not a host address"),
        (
            NetworkConfig(gateway="10.4.0.1"),
            "DHCP provides the gateway; allowed: with network.address",
        ),
        (
            NetworkConfig(address="10.4.0.17/24", gateway="10.5.0.1"),
            "is not the next hop of 10.4.0.17/24; allowed: another address in 10.4.0.0/24",
        ),
        (NetworkConfig(address="10.4.0.17/24", gateway="10.4.0.17"), "is not the next hop of"),
        (
            NetworkConfig(address="10.4.0.17/24", gateway="router"),
            "'router': not an address; allowed: such as",
        ),
        (
            NetworkConfig(dns=("dns.example",)),
            "network.dns[0] = 'dns.example': not an address; allowed: such",
        ),
        (NetworkConfig(dns=("10.4.0.1\nDHCP=no",)), "not an address"),
        (NetworkConfig(ntp=("a\nb",)), "network.ntp[0] = 'a\\nb': not a server"),
        (NetworkConfig(ntp=("pool.ntp.org\n",)), "not a server"),
    ],
)
def test_an_invalid_address_is_reported(network: NetworkConfig, message: str) -> None:
    reported = list(find_problems(network, "x"))
    assert len(reported) == bool(message)
    assert message in "".join(reported)


TEXTS = st.one_of(
    st.text(max_size=20), st.from_regex(r"[a-z0-9./:%\n\[\]=-]{1,20}"), st.ip_addresses().map(str)
)


@given(
    address=st.one_of(st.none(), TEXTS),
    gateway=st.one_of(st.none(), TEXTS),
    dns=st.lists(TEXTS, max_size=2),
    ntp=st.lists(TEXTS, max_size=2),
)
def test_no_accepted_value_adds_a_line_to_the_file(
    address: str | None, gateway: str | None, dns: list[str], ntp: list[str]
) -> None:
    network = NetworkConfig(address=address, gateway=gateway, dns=tuple(dns), ntp=tuple(ntp))
    if list(find_problems(network, "x")):
        return
    (text,) = render_files(network).values()
    keys = [line.split("=")[0] for line in text.splitlines() if "=" in line and line[0] != "#"]
    given_lines = bool(address) + bool(gateway) + len(dns) + len(ntp)
    assert sum(key in ("Address", "Gateway", "DNS", "NTP") for key in keys) == given_lines
    read = configparser.ConfigParser(strict=False, allow_no_value=False, interpolation=None)
    read.read_string(text)
    assert set(read.sections()) <= {"Match", "Network", "DHCPv4", "DHCPv6", "IPv6AcceptRA"}
