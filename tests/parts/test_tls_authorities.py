"""agent.base.tls_authorities: a file without a certificate trusts none, least of all the system's."""

import pytest

from agent.base.errors import UserError
from agent.base.tls_authorities import read_authorities, trust_authorities


@pytest.mark.parametrize("pem", ["", "\n", "no certificate", "-----BEGIN CERTIFICATE-----\n"])
def test_a_text_without_a_certificate_is_refused(pem: str) -> None:
    with pytest.raises(UserError, match=r"^link\.ca: holds no certificate in PEM form$"):
        trust_authorities(pem, "link.ca")


def test_without_a_file_the_systems_authorities_are_trusted() -> None:
    assert read_authorities(None, "link.ca") is None
    assert trust_authorities(None, "link.ca").verify_mode.name == "CERT_REQUIRED"
