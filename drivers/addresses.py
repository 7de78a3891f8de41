"""Addresses that a person wrote. Pure."""

from urllib.parse import urlsplit


def validate_url(url: str, expected_form: str) -> None:
    """Raise ValueError where one cannot be taken apart, such as a bracket that is never closed or a port
    that is none. What is wrong is told, and not the address, in which a password may stand.
    """
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ValueError(f"url: {error}; allowed: {expected_form}") from error
