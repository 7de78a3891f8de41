"""agent.update.https_get: which servers a download may reach."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.update.https_get import AddressRefused, connect, is_address_allowed


@pytest.mark.parametrize(
    "address",
    [
        "10.4.0.7",
        "172.16.9.1",
        "192.168.1.20",
        "100.64.3.2",
        "93.184.216.34",
        "fd12::7",
        "2606:4700::1111",
        # An IPv4 server behind the translation of a network without IPv4, and behind a tunnel.
        "64:ff9b::5db8:d822",
        "2002:5db8:d822::1",
    ],
)
def test_public_and_private_addresses_are_allowed(address: str) -> None:
    assert is_address_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"),
        *("0.0.0.0", "::", "::ffff:0.0.0.0"),  # noqa: S104 - the box itself, to connect()
        *("169.254.169.254", "169.254.7.7", "fe80::1", "::ffff:169.254.169.254"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
        *("224.0.0.1", "ff02::1"),
        *(
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ),
        *("::127.0.0.1", "::10.4.0.7", "fec0::1", "::ffff:0:127.0.0.1"),
    ],
)
def test_addresses_of_the_box_of_its_link_and_of_its_host_are_not(address: str) -> None:
    assert not is_address_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        *("198.18.0.1", "192.0.2.1", "240.0.0.1", "255.255.255.255"),
        *("100::1", "64:ff9b:1::7f00:1", "2001::1", "2001:db8::1", "3fff::1", "4000::1"),
    ],
)
def test_addresses_that_are_neither_public_nor_private_are_not(address: str) -> None:
    assert not is_address_allowed(address)


FORMS = {
    "itself": str,
    "mapped": lambda four: str(IPv6Address(0xFFFF << 32 | int(four))),
    "translated": lambda four: str(IPv6Address(0x64FF9B << 96 | int(four))),
    "6to4": lambda four: str(IPv6Address(0x2002 << 112 | int(four) << 80)),
}


@given(four=st.ip_addresses(v=4), form=st.sampled_from(sorted(FORMS)))
def test_an_ipv4_address_is_judged_alike_in_each_form(four: IPv4Address, form: str) -> None:
    assert is_address_allowed(FORMS[form](four)) == is_address_allowed(str(four))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "2130706433", "0x7f.1", "0"])
def test_a_name_is_refused_by_the_address_that_it_resolves_to(host: str) -> None:
    with pytest.raises(AddressRefused, match="allowed: a public or private address, not loopback"):
        connect((host, 1), 1.0)
