"""agent.update.server_address: which servers a download may reach."""

import pytest

from agent.update.server_address import AddressRefused, connect, is_allowed


@pytest.mark.parametrize(
    "address",
    [
        "10.4.0.7",
        "172.16.9.1",
        "192.168.1.20",
        "100.64.3.2",
        "93.184.216.34",
        "fd12::7",
        "2001:db8::1",
    ],
)
def test_public_and_private_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"),
        *("0.0.0.0", "::", "::ffff:0.0.0.0"),  # noqa: S104 - the box itself, to connect()
        *("169.254.169.254", "169.254.7.7", "fe80::1", "::ffff:169.254.169.254"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
        *("224.0.0.1", "ff02::1"),
    ],
)
def test_addresses_of_the_box_of_its_link_and_of_its_host_are_not(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "2130706433", "0x7f.1", "0"])
def test_a_name_is_refused_by_the_address_that_it_resolves_to(host: str) -> None:
    with pytest.raises(AddressRefused, match="allowed: a public or private address, not loopback"):
        connect(host, 1, 1.0)
