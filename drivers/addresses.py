"""Validation of URLs in a driver's options. Pure."""

from urllib.parse import urlsplit


def validate_url(url: str, expected_form: str) -> None:
    """Raise ValueError if a URL cannot be parsed: an open bracket, a port that is no number.

    The message has the mistake and not the URL, which may hold a password.
    """
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ValueError(f"url: {error}; allowed: {expected_form}") from error
