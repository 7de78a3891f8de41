"""`page`: the page at the pole, for a phone or a laptop next to the box; on for half an hour at most."""

import ipaddress
from collections.abc import Sequence

from agent.base.message import Message
from agent.console import network_checks, page_wire
from agent.console.arguments import parse_int, usage_error
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.console.text_format import format_duration

_FORMS = ("page", "page on [PORT]", "page link [ADDRESS]", "page off")
_MODIFYING = ("on", "link")
_HEX_PER_LINE = 32
_OFF = Message("the page is off; allowed: page on")
NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        (
            *("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/64", "10.0.0.0/8"),
            *("172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        ),
    )
)
"""Of phones next to a box. vigie-page.service accepts no others, so a link of another address would not work."""


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Turn the page on or off, make another link, or print whether it is on."""
    switch = context.page_switch
    match list(argv):
        case []:
            _print_state(terminal, context)
        case ["on", *port] if len(port) <= 1:
            _turn_on(terminal, context, _parse_port(argv, *port))
        case ["link", *address] if len(address) <= 1:
            chosen = _choose_address(context, *address)
            _print_link(terminal, context, switch.new_link(), chosen)
        case ["off"]:
            was_on = switch.is_on()
            switch.turn_off()
            terminal.print(Message("The page is off.") if was_on else Message("The page was off."))
        case _:
            raise usage_error(("page", *argv), *_FORMS)


def _parse_port(argv: Sequence[str], typed: str = str(page_wire.DEFAULT_PORT)) -> int:
    port = parse_int(typed, page_wire.MIN_PORT, page_wire.MAX_PORT)
    if port is None:
        raise usage_error(
            ("page", *argv),
            Message(
                "page on [PORT, {low} to {high}]", low=page_wire.MIN_PORT, high=page_wire.MAX_PORT
            ),
        )
    return port


def _turn_on(terminal: Terminal, context: ConsoleContext, port: int) -> None:
    addresses = _find_addresses(context)
    switch = context.page_switch
    token = switch.turn_on(
        port,
        box_id=context.box_id,
        addresses=addresses,
        technician=context.technician,
        language=context.language,
    )
    terminal.print(
        Message("The page is on for {duration}.", duration=format_duration(switch.remaining_s)),
        Message(
            "The browser warns of a certificate that it does not know. Compare its SHA-256 "
            "fingerprint, and continue if it is this one:"
        ),
        *_format_fingerprint(switch.fingerprint),
    )
    _print_link(terminal, context, token, addresses[0])


def _find_addresses(context: ConsoleContext) -> list[str]:
    """Return the addresses by which a phone can reach the box. Raises ConsoleError if there is none."""
    own = network_checks.own_addresses(context.root)
    addresses = [
        one for one in own if any(ipaddress.ip_address(one) in network for network in NETWORKS)
    ]
    if not addresses:
        raise ConsoleError(
            Message(
                "none of the box's addresses is of a private network, as a phone's next to it: {addresses}",
                addresses=", ".join(own) or Message("no address"),
            )
        )
    return addresses[: page_wire.MAX_ADDRESSES]


def _choose_address(context: ConsoleContext, typed: str | None = None) -> str:
    """Return the address of the QR code, by default the first one. Raises ConsoleError."""
    switch = context.page_switch
    if not switch.is_on():
        raise ConsoleError(_OFF)
    if typed is None:
        return switch.addresses[0]
    if typed not in switch.addresses:
        raise ConsoleError(
            Message(
                "{address}: no address of the box; allowed: {addresses}",
                address=typed,
                addresses=", ".join(switch.addresses),
            )
        )
    return typed


def _print_link(terminal: Terminal, context: ConsoleContext, token: str, address: str) -> None:
    """Print a link of each address, and the QR code of this one."""
    switch = context.page_switch
    terminal.print(Message("This link logs one phone in, within 5 minutes:"))
    terminal.print(*(_link(one, switch.port, token) for one in switch.addresses))
    if len(switch.addresses) > 1:
        terminal.print(
            Message("The code is of {address}; for another: page link ADDRESS", address=address)
        )
    # Imported here: an idle console draws no code.
    from agent.console import qr_code  # noqa: PLC0415

    terminal.draw(qr_code.draw(_link(address, switch.port, token)))


def _print_state(terminal: Terminal, context: ConsoleContext) -> None:
    switch = context.page_switch
    if not switch.is_on():
        terminal.print(_OFF)
        return
    terminal.print(
        Message(
            "The page is on for {duration} more, {count} phones have logged in:",
            duration=format_duration(switch.remaining_s),
            count=switch.sessions,
        ),
        *(_origin(one, switch.port) for one in switch.addresses),
        *_format_fingerprint(switch.fingerprint),
        Message("page link logs another phone in, page off ends it."),
    )


def _origin(address: str, port: int) -> str:
    is_ipv6 = ipaddress.ip_address(address).version == 6  # noqa: PLR2004 - RFC 3986, 3.2.2
    return f"https://[{address}]:{port}/" if is_ipv6 else f"https://{address}:{port}/"


def _link(address: str, port: int, token: str) -> str:
    return f"{_origin(address, port)}#{token}"


def _format_fingerprint(fingerprint: str) -> list[str]:
    """Return the fingerprint in two lines, as browsers show it."""
    lines = (
        fingerprint[begin : begin + _HEX_PER_LINE].upper()
        for begin in range(0, len(fingerprint), _HEX_PER_LINE)
    )
    return [
        "  " + ":".join(line[begin : begin + 2] for begin in range(0, len(line), 2))
        for line in lines
    ]


def _is_modifying(argv: Sequence[str]) -> bool:
    return bool(argv) and argv[0] in _MODIFYING


PAGE = ConsoleCommand(
    name="page",
    help=Message("the page at the pole, for a phone; on for 30 minutes"),
    usage=(
        ("page", Message("whether it is on, and where")),
        (
            "page on [PORT]",
            Message(
                "turn it on (default port {port}), with a link and its QR code",
                port=page_wire.DEFAULT_PORT,
            ),
        ),
        ("page link [ADDRESS]", Message("a new link, for another phone or an expired one")),
        ("page off", Message("turn it off; a logout does it too")),
    ),
    run=run,
    needs_receipt=_is_modifying,
)
