"""centre.fleet.screen as an operator uses it: keys, filter, selection, in Textual's own test terminal."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from textual.pilot import Pilot

from agent.reporting.payloads import Message
from centre.fleet.screen import FleetScreen
from tests.fleet_messages import NOW, arrival, event, fault, health, status
from tests.whole.report.fleet_on_broker import fleet_statuses

Check = Callable[[FleetScreen, "Pilot[None]"], Awaitable[None]]


def run_screen(
    check: Check, messages: Iterable[Message], size: tuple[int, int] = (112, 24)
) -> None:
    async def run() -> None:
        screen = FleetScreen("connecting to mqtt://h", lambda: NOW)
        for message in messages:
            screen.update(message, arrival())
        async with screen.run_test(size=size) as pilot:
            await check(screen, pilot)

    asyncio.run(asyncio.wait_for(run(), 60))


def lines_of(screen: FleetScreen) -> list[str]:
    return [strip.text.rstrip() for strip in screen.screen._compositor.render_strips()]


async def until(screen: FleetScreen, pilot: "Pilot[None]", is_shown: Callable[[str], bool]) -> str:
    """Wait until the screen fulfils the condition, and return its text."""
    while not is_shown(text := "\n".join(lines_of(screen))):
        await pilot.pause(0.01)
    return text


THREE = [
    status(box="casa-0001", site="Bd Zerktouni"),
    health(box="casa-0001"),
    status(box="casa-0002", site="الدار البيضاء", faults=(fault(),)),
    status("lost", box="casa-0003"),
]


def test_the_worst_box_is_first_and_its_details_are_below() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        await until(screen, pilot, lambda text: "casa-0001" in text)
        lines = lines_of(screen)
        assert lines[0] == "connecting to mqtt://h"
        assert lines[1] == "3 boxes: 1 lost, 1 error, 1 good"
        assert lines[2].split()[:3] == ["box", "state", "since"]
        assert [line.split()[0] for line in lines[3:6]] == ["casa-0003", "casa-0002", "casa-0001"]
        assert "lost since 2026-11-03T11:59:30Z" in "\n".join(lines[6:])

    run_screen(check, THREE)


def test_messages_change_the_screen() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        screen.show_connection("h:1883: Connection refused; trying again\x1b[2J")
        screen.update(status("stopped", box="casa-0004"), arrival())
        await until(
            screen,
            pilot,
            lambda text: (
                "4 boxes: 1 lost, 1 stopped, 1 error, 1 good" in text
                and "h:1883: Connection refused; trying again\\x1b[2J" in text
            ),
        )
        screen.update(status(box="casa-0003", session=2), arrival())
        await until(screen, pilot, lambda text: "4 boxes: 1 stopped, 1 error, 2 good" in text)

    run_screen(check, THREE)


def test_650_boxes_are_scrolled_by_keys_and_the_headings_stay() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        await until(screen, pilot, lambda text: "650 boxes: 10 lost, 64 error, 576 good" in text)
        assert "casa-0641" in lines_of(screen)[3]
        await pilot.press("end")
        text = await until(screen, pilot, lambda text: "casa-0639" in text)
        assert lines_of(screen)[2].startswith("box")
        assert "casa-0639 Bd Mohammed V 639" in text  # the details
        await pilot.press("home")
        await until(screen, pilot, lambda text: "casa-0641" in text)
        await pilot.press("pagedown", "down", "k")
        text = await until(screen, pilot, lambda text: "casa-0641" not in text)
        assert lines_of(screen)[2].startswith("box")

    run_screen(check, fleet_statuses(650, 10))


def test_the_mouse_selects_a_box() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        await until(screen, pilot, lambda text: "casa-0001" in text)
        await pilot.click("FleetTable", offset=(5, 3))
        await until(screen, pilot, lambda text: "online since" in text and "up 2.0 h" in text)

    run_screen(check, THREE)


def test_the_filter_finds_boxes_and_escape_shows_all_again() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        await until(screen, pilot, lambda text: "casa-0641" in text)
        await pilot.press("slash", *"cam-01", "space", *"casa-02")
        text = await until(screen, pilot, lambda text: "; 10 with" in text)
        assert "casa-0210" in text
        assert "casa-0641" not in text
        await pilot.press("enter", "down")
        await until(screen, pilot, lambda text: "casa-0210 Bd Mohammed V 210" in text)
        await pilot.press("escape")
        await until(screen, pilot, lambda text: "casa-0641" in text and "with" not in text)

    run_screen(check, fleet_statuses(650, 10))


def test_the_selected_box_stays_selected_where_others_pass_it() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        await until(screen, pilot, lambda text: "casa-0001" in text)
        await pilot.press("down")
        await until(screen, pilot, lambda text: "casa-0002 الدار" in text)
        screen.update(status("lost", box="casa-0001"), arrival())
        await until(screen, pilot, lambda text: "3 boxes: 2 lost" in text)
        assert "casa-0002 الدار" in "\n".join(lines_of(screen))

    run_screen(check, THREE)


@pytest.mark.parametrize(
    "text", ["[bold]Depot[/bold]", "Depot\x1b[2J\r\n\x9b2J\a", "[/b2]", ":cd:"]
)
def test_a_boxs_text_neither_formats_the_screen_nor_moves_its_cursor(text: str) -> None:
    shown = text.encode("unicode_escape").decode().replace("\\x9b", "\\x9b")

    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        everything = await until(screen, pilot, lambda text: text.count(shown) >= 2)
        assert "pole-2" in everything
        assert not set(everything) & set("\x1b\r\x9b\a")

    run_screen(
        check,
        [
            status(box="pole-1", site=text, faults=(fault(title=text),)),
            event(box="pole-1", name=text),
            status(box="pole-2"),
        ],
        size=(250, 24),
    )


@pytest.mark.parametrize("end", ["q", "ctrl+c"])
def test_a_key_ends_it(end: str) -> None:
    async def check(_screen: FleetScreen, pilot: "Pilot[None]") -> None:
        await pilot.press(end)

    run_screen(check, [])


def test_its_end_can_be_requested_by_another_thread() -> None:
    async def check(screen: FleetScreen, pilot: "Pilot[None]") -> None:
        screen.end()
        while screen.is_running:
            await pilot.pause(0.01)

    run_screen(check, [])
