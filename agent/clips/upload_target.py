"""Targets of an upload: a presigned PUT, a presigned S3 multipart upload, or a tus 1.0 server. Pure.

A presigned URL is a password. Only its host is logged, replied or written into a receipt, and the texts of
a target have no pattern: a refusal would quote what does not match.
"""

from collections.abc import Collection
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

import msgspec

from agent.base.url import split_url
from agent.commands.requester import CommandRejected

MAX_URL_CHARS = 4000
MIN_PART_BYTES = 5 * 1024 * 1024
"""Of every part but the last, by S3."""
MAX_PART_BYTES = 5 * 1024**3
MAX_PARTS = 64

SecretUrl: TypeAlias = str
"""A URL that may have a secret in its path or query."""


class _Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class PresignedPut(_Target, frozen=True, kw_only=True, tag="put"):
    """One PUT of the whole file. It begins again after a cut."""

    url: SecretUrl

    def __repr__(self) -> str:
        return f"PresignedPut({host_of(self.url)})"


class S3Multipart(_Target, frozen=True, kw_only=True, tag="s3_multipart"):
    """A multipart upload that the centre has created: a presigned PUT of each part, in order, and the
    presigned POST that completes it. All parts but the last have `part_bytes`. URLs that are not needed are
    left unused.
    """

    part_urls: Annotated[tuple[SecretUrl, ...], msgspec.Meta(min_length=1, max_length=MAX_PARTS)]
    part_bytes: Annotated[int, msgspec.Meta(ge=MIN_PART_BYTES, le=MAX_PART_BYTES)]
    complete_url: SecretUrl

    def __repr__(self) -> str:
        return f"S3Multipart({host_of(self.complete_url)}, {len(self.part_urls)} parts)"


class Tus(_Target, frozen=True, kw_only=True, tag="tus"):
    """The URL at which a tus 1.0 server creates uploads."""

    url: SecretUrl

    def __repr__(self) -> str:
        return f"Tus({host_of(self.url)})"


UploadTarget: TypeAlias = PresignedPut | S3Multipart | Tus


def target_urls(target: UploadTarget) -> tuple[SecretUrl, ...]:
    """Return all addresses of a target, the one that ends the upload last."""
    if isinstance(target, S3Multipart):
        return (*target.part_urls, target.complete_url)
    return (target.url,)


def target_host(target: UploadTarget) -> str:
    """Return the host of a target, for logs and receipts."""
    return host_of(target_urls(target)[-1])


def host_of(url: SecretUrl) -> str:
    """Return the host of a URL, or `?` if it is none."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"


def is_https(url: SecretUrl) -> bool:
    """Return whether a text is an `https` URL that an HTTP request can carry, without a user."""
    parts = split_url(url, "https")
    return (
        parts is not None
        and parts.username is None
        and len(url) <= MAX_URL_CHARS
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )


def is_same_origin(url: SecretUrl, other: SecretUrl) -> bool:
    """Return whether two `https` URLs have the same host and port."""
    first, second = urlsplit(url), urlsplit(other)
    return (first.hostname, first.port or 443) == (second.hostname, second.port or 443)


def check_target(target: UploadTarget, allowed_hosts: Collection[str]) -> None:
    """Raise CommandRejected if a URL is not `https` or its host not one of `[link] upload_hosts`."""
    if not allowed_hosts:
        raise CommandRejected(
            "unsupported", "this box sends no footage away: [link] upload_hosts names no host"
        )
    for url in target_urls(target):
        if not is_https(url):
            raise CommandRejected(
                "malformed",
                f"command clip: upload: not a URL; allowed: https://HOST/PATH, ASCII, without a user, "
                f"{MAX_URL_CHARS} characters",
            )
        if host_of(url) not in {host.lower() for host in allowed_hosts}:
            raise CommandRejected(
                "forbidden",
                f"upload host {host_of(url)!r}: allowed: {', '.join(allowed_hosts)} ([link] upload_hosts)",
            )
