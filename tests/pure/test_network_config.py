"""[network] of a settings file becomes files of systemd-networkd; invalid addresses are named."""

import configparser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.provisioning.network_config import (
    FILE_PATTERN,
    MAIN_FILE,
    OTHERS_FILE,
    NetworkConfig,
    NetworkPort,
    iter_network_problems,
    render_files,
)

PORT_FILE = "40-vigie-port-0.network"
DOWN = """[Match]
Type=ether
Kind=!*

[Link]
ActivationPolicy=always-down

[Network]
DHCP=no
IPv6AcceptRA=no
LinkLocalAddressing=no
"""


def rendered(network: NetworkConfig) -> dict[str, str]:
    """By file, the text without its comment."""
    files = render_files(network)
    assert all(FILE_PATTERN.fullmatch(name) for name in files)
    return {name: text.partition("\n")[2] for name, text in files.items()}


def test_by_default_built_in_ports_use_dhcp_and_no_other() -> None:
    files = rendered(NetworkConfig())
    assert list(files) == [MAIN_FILE, OTHERS_FILE]
    assert files[MAIN_FILE] == (
        "[Match]\nType=ether\nKind=!*\nPath=!*-usb-*\n\n[Network]\nDHCP=yes\n"
        "\n[DHCPv4]\nUseNTP=no\n\n[DHCPv6]\nUseNTP=no\n\n[IPv6AcceptRA]\nUseRedirect=no\n"
    )
    assert files[OTHERS_FILE] == DOWN


def test_a_named_port_is_the_only_one_with_dhcp() -> None:
    files = rendered(NetworkConfig(adapter="end0"))
    assert files[MAIN_FILE].startswith("[Match]\nName=end0\n\n[Network]\nDHCP=yes\n")
    assert files[OTHERS_FILE] == DOWN


def test_a_fixed_address_accepts_neither_dhcp_nor_router_advertisements() -> None:
    network = NetworkConfig(address="10.4.0.17/24", gateway="10.4.0.1", dns=("10.4.0.1", "9.9.9.9"))
    _, _, network_section = rendered(network)[MAIN_FILE].partition("[Network]\n")
    assert network_section.splitlines() == [
        "DHCP=no",
        "IPv6AcceptRA=no",
        "Address=10.4.0.17/24",
        "Gateway=10.4.0.1",
        "DNS=10.4.0.1",
        "DNS=9.9.9.9",
    ]


def test_configured_name_servers_replace_those_of_dhcp() -> None:
    network = NetworkConfig(dns=("10.4.0.1",), port=(NetworkPort(adapter="wwan0"),))
    for name in (MAIN_FILE, PORT_FILE):
        for section in ("[DHCPv4]", "[DHCPv6]", "[IPv6AcceptRA]\nUseRedirect=no"):
            assert f"{section}\nUseDNS=no\n" in rendered(network)[name]
    assert "UseDNS" not in "".join(rendered(NetworkConfig()).values())


def test_no_port_takes_time_servers_from_dhcp() -> None:
    network = NetworkConfig(port=(NetworkPort(adapter="wwan0"),))
    for text in rendered(network).values():
        for family in ("DHCPv4", "DHCPv6"):
            has_dhcp = "DHCP=yes" in text
            section = text.partition(f"[{family}]\n")[2].partition("\n[")[0]
            assert ("UseNTP=no" in section.splitlines()) == has_dhcp


def test_a_second_port_is_a_second_route_or_has_a_fixed_address() -> None:
    network = NetworkConfig(
        adapter="end0",
        port=(
            NetworkPort(adapter="wwan0"),
            NetworkPort(adapter="enx0011", address="192.168.1.1/24"),
        ),
    )
    files = rendered(network)
    assert list(files)[:2] == [PORT_FILE, "40-vigie-port-1.network"]
    assert sorted(files) == list(files), "networkd applies the first file that matches"
    assert files[PORT_FILE].startswith("[Match]\nName=wwan0\n\n[Network]\nDHCP=yes\n")
    assert files[PORT_FILE].count("RouteMetric=2048") == 2
    assert files["40-vigie-port-1.network"] == (
        "[Match]\nName=enx0011\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nAddress=192.168.1.1/24\n"
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (NetworkConfig(address="10.4.0.17/24", gateway="10.4.0.1"), ""),
        (NetworkConfig(address="2001:db8::17/64", gateway="fe80::1"), ""),
        (NetworkConfig(address="10.4.0.0/31", gateway="10.4.0.1"), ""),
        (NetworkConfig(adapter="a", port=(NetworkPort(adapter="b", address="10.0.0.1/8"),)), ""),
        (
            NetworkConfig(adapter="a", port=(NetworkPort(adapter="a"),)),
            "network.port[0].adapter = 'a': named twice; allowed: each port once",
        ),
        (
            NetworkConfig(port=(NetworkPort(adapter="a", address="10.0.0.0/8"),)),
            "network.port[0].address = '10.0.0.0/8': not a host address",
        ),
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
    ],
)
def test_an_invalid_address_is_reported(network: NetworkConfig, message: str) -> None:
    reported = list(iter_network_problems(network, "x"))
    assert len(reported) == bool(message)
    assert message in "".join(reported)


TEXTS = st.one_of(
    st.text(max_size=20), st.from_regex(r"[a-z0-9./:%\n\[\]=-]{1,20}"), st.ip_addresses().map(str)
)


@given(
    address=st.one_of(st.none(), TEXTS),
    gateway=st.one_of(st.none(), TEXTS),
    dns=st.lists(TEXTS, max_size=2),
    port_address=st.one_of(st.none(), TEXTS),
)
def test_no_accepted_value_adds_a_line_to_the_file(
    address: str | None, gateway: str | None, dns: list[str], port_address: str | None
) -> None:
    port = NetworkPort(adapter="wwan0", address=port_address)
    network = NetworkConfig(address=address, gateway=gateway, dns=tuple(dns), port=(port,))
    if list(iter_network_problems(network, "x")):
        return
    files = render_files(network)
    keys = [
        line.split("=")[0]
        for text in files.values()
        for line in text.splitlines()
        if "=" in line and line[0] != "#"
    ]
    given_lines = bool(address) + bool(gateway) + len(dns) + bool(port_address)
    assert sum(key in ("Address", "Gateway", "DNS") for key in keys) == given_lines
    for text in files.values():
        read = configparser.ConfigParser(strict=False, allow_no_value=False, interpolation=None)
        read.read_string(text)
        assert set(read.sections()) <= {
            "Match",
            "Link",
            "Network",
            "DHCPv4",
            "DHCPv6",
            "IPv6AcceptRA",
        }
