"""Details: sentences of drivers, libraries and the kernel, which reach the console as English text. Pure.

The agent's own faults carry their message. A driver's error is text, which may come from a child process; so is that of
FFmpeg, OpenSSL, the broker or the C library. Before it is shown, it becomes a message again, so that the catalogues
translate it; text that is no known sentence stays as it is.
"""

import re
from functools import cache

from agent.base.message import Message, Text, join_sentences

MAX_DETAIL_CHARS = 400
"""A longer text is shown as it is: what a device sends has no bound."""
_MAX_PARTS = 4
_ANY = ""
"""The value of a placeholder, which the text has."""

DETAILS = (
    Message("is a folder; expected a file"),
    Message("no decoder for this codec"),
    Message("it takes more memory to read than it may have"),
    Message("Connection refused"),
    Message("Connection reset by peer"),
    Message("Connection timed out"),
    Message("No route to host"),
    Message("Network is unreachable"),
    Message("Name or service not known"),
    Message("Temporary failure in name resolution"),
    Message("No address associated with hostname"),
    Message("No such file or directory"),
    Message("Permission denied"),
    Message("Operation not permitted"),
    Message("No space left on device"),
    Message("Read-only file system"),
    Message("Input/output error"),
    Message("No such device"),
    Message("No such device or address"),
    Message("Device or resource busy"),
    Message("Not a directory"),
    Message("Is a directory"),
    Message("File exists"),
    Message("[Errno {number}] {reason}", number=_ANY, reason=_ANY),
    Message("[Errno {number}] {reason}: {path}", number=_ANY, reason=_ANY, path=_ANY),
    Message("the name is not known: {reason}", reason=_ANY),
    Message("no answer in {seconds} s", seconds=_ANY),
    Message("the machine answers, but no broker on this port"),
    Message("{reason} in the greeting; this port may not speak TLS", reason=_ANY),
    Message("its certificate is not accepted: {reason}", reason=_ANY),
    Message("unable to get local issuer certificate"),
    Message("unable to get issuer certificate"),
    Message("certificate has expired"),
    Message("certificate is not yet valid"),
    Message("self-signed certificate"),
    Message("self-signed certificate in certificate chain"),
    Message("Hostname mismatch, certificate is not valid for '{host}'.", host=_ANY),
    Message("IP address mismatch, certificate is not valid for '{host}'.", host=_ANY),
    Message(
        "the broker wants a certificate: set broker.certificate and broker.key, of a command --certificate and --key"
    ),
    Message("the broker does not know who signed broker.certificate"),
    Message("broker.certificate has expired"),
    Message("broker.certificate is revoked"),
    Message("the broker does not accept broker.certificate"),
    Message("the broker takes no certificate of this kind"),
    Message("this port does not speak TLS"),
    Message("no TLS version or cipher in common with the broker"),
    Message("the broker hung up at once; it may not accept broker.certificate"),
    Message(
        "the broker hung up at once; it may want a certificate: set broker.certificate and broker.key"
    ),
    Message("the connection is gone"),
    Message("the broker says: {reason}", reason=_ANY),
    Message("the broker gave no answer in {seconds} s", seconds=_ANY),
    Message("the broker refuses our subscriptions: {reason}", reason=_ANY),
    Message("Not authorized"),
    Message("Bad user name or password"),
    Message("Server unavailable"),
    Message("Session taken over"),
    Message("holds no certificate in PEM form"),
    Message("the key does not belong to the certificate"),
    Message("not a certificate and its unencrypted key in PEM form"),
    Message("camera {name}", name=_ANY),
    Message("head {name}", name=_ANY),
    Message("pin {name}", name=_ANY),
    Message("port {path}", path=_ANY),
    Message("device {path}", path=_ANY),
    Message("failed: {reason}", reason=_ANY),
    Message("no such file or device"),
    Message("no such device"),
    Message("no hardware behind it"),
    Message("another program has it"),
    Message("permission denied to this user"),
    Message("permission denied to this user; members of the group {group} may open it", group=_ANY),
    Message("the server knows no such path"),
    Message("no server listens there"),
    Message("refuses the request"),
    Message("the server refuses this username and password"),
    Message("the server forbids this path to this user"),
    Message("the server reports an error of its own"),
    Message("no answer in time"),
    Message("no answer"),
    Message("no answer within {seconds} s", seconds=_ANY),
    Message("does not answer within {seconds} s", seconds=_ANY),
    Message("does not answer"),
    Message("cannot be reached"),
    Message("wants a user and a password"),
    Message("refuses the password of user {user}", user=_ANY),
    Message("is not video that FFmpeg can read"),
    Message("the other side closed the connection"),
    Message("ended before the stream began"),
    Message("the stream ended"),
    Message("has no video stream"),
    Message("did not open within {seconds} s", seconds=_ANY),
    Message("sent nothing for {seconds} s", seconds=_ANY),
    Message("is stuck"),
    Message("its process has ended"),
    Message("the device is gone"),
    Message("port {path}: the device is gone", path=_ANY),
    Message(
        "heat: {value}, from {enter} until below {leave}",
        value=_ANY,
        enter=_ANY,
        leave=_ANY,
    ),
    Message("voltage: the supply is too low"),
    Message(
        "memory: {value} free, below {enter} until {leave}", value=_ANY, enter=_ANY, leave=_ANY
    ),
    Message("memory: all tasks wait for it {value} of the time", value=_ANY),
    Message(
        "load: {value} per core, from {enter} until {leave}", value=_ANY, enter=_ANY, leave=_ANY
    ),
    Message("disk: a write takes {value} ms", value=_ANY),
    Message("disk: full, and no footage is left that may be evicted"),
    Message("disk: that of the state folder is full"),
    Message("crash"),
    Message("power_cut"),
    Message("kernel_crash"),
    Message("board_watchdog"),
    Message("camera_stuck"),
    Message("systemd killed the agent because a vital loop did not turn"),
    Message("the kernel killed the agent for lack of memory"),
    Message("the agent ended without stopping in order, and the board ran on"),
    Message("the agent ended without stopping in order; systemd reports '{result}'", result=_ANY),
    Message("the kernel left a crash record in pstore: {names}", names=_ANY),
    Message("the board reports a power-on, and the agent had not been stopped"),
    Message("the board reports its watchdog, and the agent had not been stopped"),
    Message("the board was restarted, and there is no evidence of another cause"),
)


def find_detail(text: str, max_parts: int = _MAX_PARTS) -> Text:
    """Return the message of a text that is a known sentence, or has one after a colon or beside a semicolon."""
    if not text or len(text) > MAX_DETAIL_CHARS or max_parts == 0:
        return text
    known = _find_sentence(text, max_parts - 1)
    if known is not None:
        return known
    first, separator, rest = text.partition("; ")
    if separator:
        first_detail, rest_detail = (
            find_detail(first, max_parts - 1),
            find_detail(rest, max_parts - 1),
        )
        if isinstance(first_detail, Message) or isinstance(rest_detail, Message):
            return join_sentences(first_detail, rest_detail)
    subject, separator, rest = text.partition(": ")
    if separator:
        reason = find_detail(rest, max_parts - 1)
        if isinstance(reason, Message):
            subject_detail = _find_sentence(subject, max_parts - 1) or subject
            return Message("{problem}: {reason}", problem=subject_detail, reason=reason)
    return text


def _find_sentence(text: str, max_parts: int) -> Message | None:
    # Drivers write the sentences of the kernel with a small letter.
    for written in (text, text[:1].upper() + text[1:]):
        for sentence, pattern in _patterns():
            match = pattern.fullmatch(written)
            if match is not None:
                values = {
                    name: find_detail(value, max_parts) for name, value in match.groupdict().items()
                }
                return Message(sentence, **values)
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the pattern of each sentence, the most literal text first."""
    longest_first = sorted(DETAILS, key=lambda detail: -len(re.sub(r"{\w+}", "", detail.sentence)))
    return tuple(
        (
            detail.sentence,
            re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(detail.sentence))),
        )
        for detail in longest_first
    )
