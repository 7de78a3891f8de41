"""agent.pole_page.web_app without a network: rates, files, logins."""

import asyncio

import msgspec
import pytest

from agent.pole_page.page_sessions import REQUEST_BURST, REQUESTS_PER_S
from agent.pole_page.web_app import EDITOR_DIR, MEDIA_TYPES, PAGE_DIR, load_files
from tests.conftest import ManualClock
from tests.parts.asgi_phone import AsgiPhone, AsgiReply


@pytest.fixture
def phone(clock: ManualClock) -> AsgiPhone:
    return AsgiPhone(clock)


def test_a_session_that_sends_too_much_is_slowed_down_alone(phone: AsgiPhone) -> None:
    hasty, other = (phone.own_headers(phone.log_in()) for _ in range(2))
    statuses = [
        phone.request("POST", "/api/acts/none", hasty, b"{}").status
        for _ in range(int(REQUEST_BURST) + 2)
    ]
    assert statuses == [404] * int(REQUEST_BURST) + [429] * 2
    refused = phone.request("POST", "/api/acts/none", hasty, b"{}")
    assert msgspec.json.decode(refused.body)["error"]["code"] == "too_many"
    assert refused.headers["retry-after"] == "1"
    assert phone.request("POST", "/api/acts/none", other, b"{}").status == 404
    # A stop of a head is never withheld: it is only without an act server that it fails here.
    assert phone.request("POST", "/api/acts/head_stop", hasty, b"{}").status == 503
    phone.clock.advance_s(2.5 / REQUESTS_PER_S)
    statuses = [phone.request("POST", "/api/acts/none", hasty, b"{}").status for _ in range(3)]
    assert statuses == [404, 404, 429]


def test_a_request_counts_as_use_only_with_a_session(phone: AsgiPhone) -> None:
    assert phone.request("POST", "/api/acts/status", phone.own_headers(), b"{}").status == 401
    assert phone.request("GET", "/", phone.own_headers()).status == 200
    assert phone.uses == 0
    cookie = phone.log_in()
    assert phone.request("POST", "/api/acts/status", phone.own_headers(cookie), b"{}").status == 503
    assert phone.uses == 1


def test_a_phone_that_waits_for_the_end_of_the_page_is_not_in_use(phone: AsgiPhone) -> None:
    assert phone.request("GET", "/api/session/end", phone.own_headers()).status == 401
    cookie = phone.log_in()
    reply = asyncio.run(_ask_while_the_page_ends(phone, cookie))
    assert (reply.status, reply.body) == (200, b'{"is_off":true}')
    assert phone.uses == 0


async def _ask_while_the_page_ends(phone: AsgiPhone, cookie: str) -> AsgiReply:
    """The answer to a phone that did not wait when the page was turned off: the page ends after it."""
    ending = asyncio.create_task(phone.app.end())
    await asyncio.sleep(0)
    assert not ending.done()
    reply = await phone.send("GET", "/api/session/end", phone.own_headers(cookie))
    await ending
    return reply


def test_each_part_of_an_upload_counts_as_use(phone: AsgiPhone) -> None:
    headers = dict(phone.own_headers(phone.log_in()))
    headers |= {b"content-type": b"application/octet-stream", b"content-length": b"5"}
    path = "/api/uploads/commission_photo"
    assert phone.request("POST", path, list(headers.items()), b"photo").status == 503
    assert phone.uses == 2


def test_a_login_names_the_phones_address(phone: AsgiPhone) -> None:
    body = msgspec.json.encode({"link": phone.sessions.new_link()})
    assert phone.request("POST", "/api/session", phone.own_headers(), body).status == 204
    assert phone.logins == ["192.168.4.20"]


def test_a_wrong_link_waits_for_its_sender_alone(phone: AsgiPhone) -> None:
    replies = [
        phone.request("POST", "/api/session", phone.own_headers(), b'{"link":"guess"}')
        for _ in range(4)
    ]
    assert [reply.status for reply in replies] == [403, 403, 429, 429]
    assert replies[-1].headers["retry-after"] == "31"


def test_every_file_of_the_page_is_served_and_nothing_else(phone: AsgiPhone) -> None:
    for prefix, folder in (("/page/", PAGE_DIR), ("/editor/", EDITOR_DIR)):
        for path in load_files(folder):
            reply = phone.request("GET", prefix + path, phone.own_headers())
            assert reply.status == 200
            assert reply.headers["content-type"] in MEDIA_TYPES.values()
    for path in ("/page/", "/page/..%2fweb_app.py", "/page//etc/passwd", "/editor/__init__.py"):
        assert phone.request("GET", path, phone.own_headers()).status == 404
