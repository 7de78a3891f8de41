"""`vigie configure BOX ...`: shows the version in force of a box's configuration, or signs and publishes another one."""

import argparse
import math
import random
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agent.authority.signed_message import MessageType, ParsedMessage, SigningIdentity, sign_message
from agent.base import checked_convert
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.time_argument import parse_time
from agent.cli.arguments import number_parser
from agent.cli.output import parse_text, print_json
from agent.config import toml_decode
from agent.config.desired_config import (
    MAX_CONFIRM_S,
    DesiredConfig,
    DesiredContent,
    DesiredRehearsal,
    content_digest,
)
from agent.config.desired_store import MAX_RESTARTS, WINDOW_S
from agent.config.names import is_card_path
from agent.detection.model_card import ModelRefused, find_model, read_verified_model
from agent.detection.scene import load_scene
from agent.reporting.payloads import ReportedConfig, ReportedContent
from centre.cli.broker_arguments import add_broker, parse_broker
from centre.cli.signer_arguments import (
    add_second_signature,
    add_signer,
    confirm,
    load_identity,
    read_saved,
    save,
)
from centre.command_request import countersign
from centre.config_exchange import ConfigExchange, Withdrawal
from centre.config_text import difference, merge, read_tables, to_toml
from centre.fleet.wire_text import clean_text
from centre.rehearsal_text import iter_beyond, iter_lines

MESSAGE_TYPE: MessageType = "vigie-config+jws"
MAX_SAVED_BYTES = 180_224
REPORT_MARGIN_S = 120.0
"""In addition to the trial: for the restart of the agent, and a check of the whole configuration."""
PLAIN_ROLE = "supervisor"
_WITHDRAWAL_WORDS: dict[Withdrawal, str] = {
    "withdrawn": "the broker has the version in force again, in the place of the refused one",
    "stays": "the refused version stays at the broker, which delivers it at each connection of the box; publish the next one",
    "replaced": "another version has taken the place of the refused one at the broker, and was left there",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Signs a version of a box's configuration with one's control key, publishes it, and waits until the "
        "box keeps it, refuses it or rolls it back. A version is complete: the command shows what it drops of the version "
        "in force, and asks. With --show it prints that one, and with --merge it changes parts of it: "
        "docs/desired-configuration.md. Example: "
        "vigie configure pole-17 version.toml --scene north=north.toml"
    )
    parser.add_argument(
        "box",
        metavar="BOX",
        help="id of the box; several with commas: one after the other, up to the first one that does not keep the version",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        nargs="?",
        help="TOML with the tables settings, scenes, presets, models and proofs",
    )
    parser.add_argument("--show", action="store_true", help="print the version in force, as a FILE")
    parser.add_argument(
        "--merge", action="store_true", help="change what is given in the version in force"
    )
    parser.add_argument(
        "--scene",
        metavar="CAMERA[.PRESET]=FILE",
        action="append",
        default=[],
        help="a scene file of a camera; of one on a head a file for each preset",
    )
    parser.add_argument(
        "--model",
        metavar="CARD=URL",
        action="append",
        default=[],
        help="a model of your own: the card's path, and the address from which the box fetches the file",
    )
    parser.add_argument(
        "--number",
        metavar="N",
        type=number_parser("--number", 2.0**53),
        help="number of the version (default: one more than the box has decided about)",
    )
    parser.add_argument(
        "--confirm",
        metavar="S",
        type=number_parser("--confirm", MAX_CONFIRM_S),
        default=180.0,
        help="the box goes back unless it works with it within this time (default: %(default)g)",
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="try the version on recorded footage of the box, next to the one in force, and print the differences; it is not put in force",
    )
    parser.add_argument(
        "--from",
        dest="begin",
        metavar="T",
        default="-1h",
        help="begin of the rehearsed footage (default: an hour ago)",
    )
    parser.add_argument(
        "--to", dest="end", metavar="T", default="now", help="end of the rehearsed footage"
    )
    parser.add_argument(
        "--limit",
        metavar="SHARE",
        type=number_parser("--limit", 1.0),
        help="with --rehearse: put the version in force if at most this share of crossings and events differs, such as 0.05",
    )
    add_signer(parser)
    add_second_signature(parser, "publish")
    parser.add_argument("--json", action="store_true", help="print each report as a line of JSON")
    add_broker(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Publish the version. Return 0 if each box keeps it, or has rehearsed it, 1 if one does not. Raises: UserError."""
    if args.show and (args.merge or args.save or args.file or args.scene or args.model):
        raise UserError("--show: allowed: without FILE, --merge, --save, --scene and --model")
    if args.rehearse and (args.show or args.save or args.countersign):
        raise UserError("--rehearse: allowed: without --show, --save and --countersign")
    if args.limit is not None and not args.rehearse:
        raise UserError("--limit: allowed: with --rehearse")
    boxes = args.box.split(",")
    if len(boxes) > 1 and (args.show or args.save or args.countersign):
        raise UserError(f"{args.box}: allowed: one box with --show, --save and --countersign")
    identity = None if args.show else load_identity(args, "configure")
    for number, box in enumerate(boxes):
        args.box = box
        if exit_code := _run_box(args, identity):
            if left := boxes[number + 1 :]:
                print(f"vigie: stopped at {box}; not done: {', '.join(left)}", file=sys.stderr)
            return exit_code
    return 0


def _run_box(args: argparse.Namespace, identity: SigningIdentity | None) -> int:
    """Return 0 if the box keeps the version, or has rehearsed it. Raises: UserError."""
    saved = _read_saved(args, identity)
    tables = _read_tables(args)
    broker = parse_broker(args, "vigie configure")
    rng = random.Random()  # noqa: S311 - jitter and a client id, no secret
    with closing(ConfigExchange(broker, args.box, rng, SystemClock().boottime_ns)) as exchange:
        report = exchange.read_report()
        stored = _read_stored(args, exchange, report)
        if args.show:
            return _show(args, report, stored)
        in_force = None if stored is None else stored.content
        if saved is not None and identity is not None:
            _show_difference(in_force, saved)
            if isinstance(number := saved.claims.get("version"), int):
                _check_is_next(args, number, report)
            confirm(args, saved, "configure")
            payload = countersign(saved, MESSAGE_TYPE, identity)
        else:
            if args.merge and in_force is not None:
                tables = merge(in_force, tables)
            content = checked_convert.convert(tables, DesiredContent, "configure")
            _confirm_drops(args, in_force, content, report)
            number = _next_number(args, report)
            if args.rehearse:
                span = _rehearsed_span(args)
                payload = _write(args, identity, content, number, in_force, span)
                exit_code = _rehearse(args, exchange, payload)
                if exit_code or args.limit is None:
                    return exit_code
            payload = _write(args, identity, content, number, in_force)
        if args.save is not None:
            return save(args, payload, identity)
        exit_code = 1
        for report in exchange.send(payload, args.confirm + REPORT_MARGIN_S):
            exit_code = _print_report(report, as_json=args.json)
            if report.refused is not None:
                withdrawal = exchange.withdraw(payload, report)
                print(f"vigie: {args.box}: {_WITHDRAWAL_WORDS[withdrawal]}", file=sys.stderr)
    return exit_code


def _rehearsed_span(args: argparse.Namespace) -> DesiredRehearsal:
    """Raises: UserError."""
    now = datetime.now(UTC)
    span = {
        name: parse_time(text, now, option)
        for name, text, option in (("begin", args.begin, "--from"), ("end", args.end, "--to"))
    }
    return checked_convert.convert(span, DesiredRehearsal, "configure: --from and --to")


def _rehearse(args: argparse.Namespace, exchange: ConfigExchange, payload: bytes) -> int:
    """Have the box rehearse a version, and print the outcome. Return 1 if the differences are beyond the limit. Raises: UserError."""
    for report in exchange.rehearse(payload):
        if args.json:
            print_json(report)
        elif report.state in ("running", "paused"):
            words = f"version {report.version}: rehearsal {report.state}, {report.progress:.0%}"
            print(words, file=sys.stderr)
        else:
            print(f"{args.box}: version {report.version}, rehearsed")
            for line in iter_lines(report):
                print(f"  {line}")
    # Without a limit differences are an answer, and a rehearsal that has failed is none.
    beyond = list(iter_beyond(report, math.inf if args.limit is None else args.limit))
    for line in beyond:
        print(f"vigie: {args.box}: {line}", file=sys.stderr)
    return int(bool(beyond))


def _read_saved(args: argparse.Namespace, identity: SigningIdentity | None) -> ParsedMessage | None:
    if args.countersign is None:
        return None
    if (
        identity is None
        or args.save is not None
        or args.file is not None
        or args.scene
        or args.model
        or args.merge
        or args.show
    ):
        raise UserError(
            "--countersign: allowed: with --signer, without --save, FILE, --scene, --model, --merge and --show"
        )
    saved = read_saved(args, MESSAGE_TYPE, MAX_SAVED_BYTES)
    if saved.claims.get("box") != args.box:
        raise UserError(f"{args.countersign}: is for {saved.claims.get('box')!r}; allowed: that")
    return saved


def _read_stored(
    args: argparse.Namespace, exchange: ConfigExchange, report: ReportedConfig | None
) -> ReportedContent | None:
    """Return the content in force, or of a stored version that does not fit the box's file; None if it cannot be read and is not needed. Raises: UserError."""
    try:
        return exchange.read_content(report)
    except UserError as error:
        reason = f"{args.box}: the version in force cannot be read: {error}"
        if args.show or args.merge:
            raise UserError(reason) from error
        if args.countersign is None and not args.yes:
            raise UserError(f"{reason}; allowed: with --yes, whatever it drops") from error
    print(f"vigie: {reason}", file=sys.stderr)
    return None


def _show(
    args: argparse.Namespace, report: ReportedConfig | None, stored: ReportedContent | None
) -> int:
    if args.json:
        print_json(stored)
    elif report is not None and stored is not None:
        words = f", since {clean_text(report.since)}" if report.since else ""
        words += f", by {clean_text(report.by)}" if report.by else ""
        if report.digest != stored.digest:
            words = ", not in force: it does not fit the file of the box"
        print(f"# {args.box}: version {stored.version}{words}")
        print(to_toml(stored.content), end="")
    return 0


def _show_difference(in_force: DesiredContent | None, saved: ParsedMessage) -> None:
    """Print the difference of a saved version to that in force. Raises: UserError."""
    if in_force is None:
        return
    desired = checked_convert.convert(saved.claims, DesiredConfig, "the saved version")
    if desired.base not in (None, content_digest(in_force)):
        raise UserError(
            "the saved version was made from another one than that in force; make it again"
        )
    for lines in difference(in_force, desired):
        print(*lines, sep="\n", file=sys.stderr)


def _confirm_drops(
    args: argparse.Namespace,
    in_force: DesiredContent | None,
    content: DesiredContent,
    report: ReportedConfig | None,
) -> None:
    """Show the difference to the version in force, and ask if it drops something. Raises: UserError."""
    dropped, others = difference(in_force or DesiredContent(), content)
    if report is not None and report.deferred is not None:
        waiting = report.deferred
        dropped.append(
            f"- version {waiting.version}, which waits until {clean_text(waiting.until)}"
        )
    for line in (*dropped, *others):
        print(line, file=sys.stderr)
    if not dropped or args.yes:
        return
    if not sys.stdin.isatty():
        raise UserError(
            f"configure: it drops {len(dropped)} of what is in force ({dropped[0][2:]}); "
            "allowed: with --yes, at a terminal, or with --merge, which keeps them"
        )
    if input("publish it without the lines with - ? [y/N] ").strip().lower() != "y":
        raise UserError("not published")


def _read_tables(args: argparse.Namespace) -> dict[str, Any]:
    """Return the tables settings, presets, scenes, models and proofs, which are checked. Raises: UserError."""
    tables: dict[str, Any] = {}
    if args.file is not None:
        tables = read_tables(toml_decode.read_toml(args.file, "version"), str(args.file))
    scenes: dict[str, Any] = dict(tables.get("scenes", {}))
    for word in args.scene:
        name, _, file = word.partition("=")
        camera, _, preset = name.partition(".")
        if not camera or not file:
            raise UserError(f"--scene {word!r}: allowed: CAMERA=FILE or CAMERA.PRESET=FILE")
        text = _read_text(Path(file))
        if not preset:
            scenes[camera] = text
        elif isinstance(scenes.setdefault(camera, {}), dict):
            scenes[camera][preset] = text
    models: dict[str, Any] = dict(tables.get("models", {}))
    for word in args.model:
        card, _, url = word.partition("=")
        if not is_card_path(card) or not url:
            raise UserError(f"--model {word!r}: allowed: CARD.toml=https://HOST/PATH")
        models[Path(card).stem] = {**_read_model(card), "url": url}
    location = str(args.file or "scenes and models")
    tables = {**tables, "scenes": scenes, "models": models}
    checked_convert.convert(tables, DesiredContent, location)
    return tables


def _read_model(card: str) -> dict[str, Any]:
    """Return the text of a card, and the size of the file that it describes. Raises: UserError."""
    try:
        model = find_model(card)
        content = read_verified_model(model.card, model.path.parent)
    except ModelRefused as error:
        raise UserError(f"--model {card}: {error}") from error
    return {"card": Path(card).read_text(encoding="utf-8"), "size_bytes": len(content)}


def _read_text(file: Path) -> str:
    load_scene(file)
    return file.read_text(encoding="utf-8-sig")


def _next_number(args: argparse.Namespace, report: ReportedConfig | None) -> int:
    """Return the number of the version. Raises: UserError if the box has reported none."""
    if args.number:
        number = int(args.number)
        _check_is_next(args, number, report)
        return number
    if report is None:
        raise UserError(f"{args.box}: has reported no configuration; allowed: --number N")
    fetching = 0 if report.fetching is None else report.fetching.version
    deferred = 0 if report.deferred is None else report.deferred.version
    return max(report.decided, fetching, deferred) + 1


def _check_is_next(args: argparse.Namespace, number: int, report: ReportedConfig | None) -> None:
    """Raise UserError if the box has decided about the number already: it would refuse the message, which would take the
    place of the version in force at the broker.
    """
    if report is not None and number <= report.decided:
        raise UserError(
            f"{args.box}: version {number}: {report.decided} was decided already; allowed: more than {report.decided}"
        )


def _write(
    args: argparse.Namespace,
    identity: SigningIdentity | None,
    content: DesiredContent,
    number: int,
    in_force: DesiredContent | None,
    rehearse: DesiredRehearsal | None = None,
) -> bytes:
    """Return the message of one person. Raises: UserError."""
    claims = {
        "box": args.box,
        "version": number,
        "confirm_s": args.confirm,
        "base": None if in_force is None else content_digest(in_force),
        "rehearse": msgspec.to_builtins(rehearse),
        **msgspec.to_builtins(content),
    }
    desired = checked_convert.convert(claims, DesiredConfig, "configure")
    if identity is not None:
        return sign_message(desired, MESSAGE_TYPE, identity)
    plain = {"by": parse_text(args.by, "--by"), "role": PLAIN_ROLE}
    return msgspec.json.encode({**msgspec.to_builtins(desired), **plain})


def _print_report(report: ReportedConfig, *, as_json: bool) -> int:
    """Print a report. Return 1 if it refuses the version."""
    refused = report.refused
    if as_json:
        print_json(report)
    elif refused is not None:
        for reason in refused.reasons:
            name = "a version" if refused.version is None else f"version {refused.version}"
            print(f"vigie: {name}: {clean_text(reason)}", file=sys.stderr)
    elif report.fetching is not None:
        fetching = report.fetching
        step = f"{clean_text(fetching.model)}: {clean_text(fetching.detail)}"
        print(f"version {fetching.version}: {step}", file=sys.stderr)
    elif report.deferred is not None:
        deferred = report.deferred
        reason = f"the agent has restarted for {MAX_RESTARTS} versions in {WINDOW_S / 60:g} minutes"
        print(
            f"version {deferred.version}: waits until {deferred.until}: {reason}", file=sys.stderr
        )
    else:
        words = "in force" if report.state == "in_force" else "on trial"
        print(f"version {report.version}: {words}", file=sys.stderr)
    return int(refused is not None)
