"""agent.capture.video_target: video goes to configured hosts only, over TLS, and no refusal has the password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.video_target import parse_target
from agent.commands.requester import CommandRejected

HOSTS = ("media.city.example", "10.1.2.3", "127.0.0.1", "2001:db8::7")


@pytest.mark.parametrize(
    ("url", "rewritten", "shown"),
    [
        (
            "rtsps://media.city.example/pole-17/north",
            "rtsps://media.city.example:322/pole-17/north",
            "media.city.example:322",
        ),
        (
            "rtsps://MEDIA.city.example:8322/x",
            "rtsps://media.city.example:8322/x",
            "media.city.example:8322",
        ),
        (
            "rtsps://box:p%40ss@10.1.2.3:8322/x",
            "rtsps://box:p%40ss@10.1.2.3:8322/x",
            "10.1.2.3:8322",
        ),
        ("rtsps://box:a:b@10.1.2.3/x", "rtsps://box:a%3Ab@10.1.2.3:322/x", "10.1.2.3:322"),
        ("rtsps://[2001:db8::7]:8322/x", "rtsps://[2001:db8::7]:8322/x", "2001:db8::7:8322"),
        ("rtsp://127.0.0.1:8554/x", "rtsp://127.0.0.1:8554/x", "127.0.0.1:8554"),
    ],
)
def test_an_address_is_checked_and_put_together_again(url: str, rewritten: str, shown: str) -> None:
    target = parse_target(url, HOSTS)
    assert (target.url, target.display_name) == (rewritten, shown)
    assert target.port == int(rewritten.split("/")[2].rpartition(":")[2])
    assert repr(target) == f"VideoTarget({shown})"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("rtsps://elsewhere.example/x", "forbidden"),
        ("rtsps://media.city.example@elsewhere.example/x", "forbidden"),
        ("rtsps://elsewhere.example:secret@169.254.1.1/x", "forbidden"),
        ("rtsp://media.city.example/x", "forbidden"),
        ("rtsp://10.1.2.3/x", "forbidden"),
        ("rtsps://media.city.example/x?tcp", "malformed"),
        ("rtsps://media.city.example/x?udp", "malformed"),
        ("rtsps://media.city.example/x#y", "malformed"),
        ("rtsps://media.city.example", "malformed"),
        ("rtsps://media.city.example:0/x", "malformed"),
        ("rtsps://media.city.example:99999/x", "malformed"),
        ("rtsps://media.city.example/x y", "malformed"),
        ("rtsps://media.city.example/x\r\nANNOUNCE", "malformed"),
        ("rtsps://media.city.example\\@elsewhere.example/x", "forbidden"),
        ("rtsps://media.city.example/../x%0d", "malformed"),
        ("https://media.city.example/x", "malformed"),
        ("file:///etc/passwd", "malformed"),
        ("rtsps:///x", "malformed"),
        ("", "malformed"),
        (f"rtsps://media.city.example/{'x' * 1000}", "malformed"),
    ],
)
def test_every_other_address_is_refused_without_its_password(url: str, code: str) -> None:
    with pytest.raises(CommandRejected) as refused:
        parse_target(url, HOSTS)
    assert refused.value.code == code
    assert "secret" not in str(refused.value)


def test_without_a_configured_host_no_video_is_sent() -> None:
    with pytest.raises(CommandRejected, match="upload_hosts names no host"):
        parse_target("rtsps://media.city.example/x", ())


@given(st.text(max_size=200))
def test_no_text_names_another_host(text: str) -> None:
    try:
        target = parse_target(f"rtsps://{text}", HOSTS)
    except CommandRejected:
        return
    assert target.host in HOSTS
    assert target.url.isascii()
    assert not any(character.isspace() for character in target.url)
