"""`vigie model`: the shipped models and those of one's own, with their figures."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console
from rich.table import Table

from agent.base.errors import UserError
from agent.base.model import LABELS
from agent.cli.arguments import add_json
from agent.cli.commands import Commands
from agent.cli.output import parse_text, print_json, progress_bar
from agent.config import toml_writer
from agent.detection.model_card import (
    DecoderName,
    ModelCard,
    ModelRefused,
    find_model,
    list_model_names,
)
from centre.models.average_precision import mean_ap50
from centre.models.class_labels import parse_labels
from centre.models.labelled_folder import read_labelled_folder
from centre.models.measurement import Measurement, measure
from centre.models.own_model import Colour, OwnModel, add_model, default_name

DEFAULT_FOLDER = Path("models")


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the list. `card` is the path of its card, None for a shipped one."""

    name: str
    card: str | None
    decoder: DecoderName
    width_px: int
    height_px: int
    mean_ap50: float
    inference_ms: float
    licence: str
    sha256: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "A model is a name, for those that come with the agent, or the path of its card, such as "
        "models/yolox_nano.toml."
    )
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_list(subcommands)
    _add_show(subcommands)
    _add_measure(subcommands)
    _add_add(subcommands)


def _add_list(commands: Commands) -> None:
    parser = commands.add_parser("list", help="list the shipped models and those of a folder")
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, default=DEFAULT_FOLDER, help=_FOLDER_HELP
    )
    add_json(parser)
    parser.set_defaults(run=_list)


def _add_show(commands: Commands) -> None:
    parser = commands.add_parser("show", help="print a model's card")
    parser.add_argument("model", metavar="MODEL", help="a name, or the path of a card")
    add_json(parser)
    parser.set_defaults(run=_show)


def _add_measure(commands: Commands) -> None:
    parser = commands.add_parser(
        "measure", help="measure AP50 and CPU time of models in one run, on labelled pictures"
    )
    parser.add_argument(
        "models", metavar="MODEL", nargs="*", help="names, or paths of cards (default: all shipped)"
    )
    _add_labelled(parser)
    add_json(parser)
    parser.set_defaults(run=_measure)


def _add_add(commands: Commands) -> None:
    parser = commands.add_parser(
        "add",
        help="check and measure a model of one's own, and write its card",
        description="The file is loaded in a child process with bounds. A file .onnx is converted first, by onnx2tf.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a model, .tflite or .onnx")
    parser.add_argument(
        "--decoder", required=True, choices=get_args(DecoderName), help="the form of its outputs"
    )
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        required=True,
        type=parse_labels,
        help="its classes: coco, or such as person=0,car=1; or labels in the order of the classes",
    )
    _add_labelled(parser)
    parser.add_argument(
        "--licence", metavar="TEXT", required=True, help="the licence of its weights"
    )
    parser.add_argument("--source", metavar="TEXT", required=True, help="the origin of its weights")
    parser.add_argument("--name", metavar="NAME", help="its name (default: that of the file)")
    parser.add_argument(
        "--colour", choices=get_args(Colour), help="order of its channels (default: by the decoder)"
    )
    parser.add_argument(
        "--folder", metavar="FOLDER", type=Path, default=DEFAULT_FOLDER, help=_FOLDER_HELP
    )
    add_json(parser)
    parser.set_defaults(run=_add)


_FOLDER_HELP = "the folder of your own models (default: %(default)s)"


def _add_labelled(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labelled",
        metavar="FOLDER",
        type=Path,
        required=True,
        help="labelled pictures: a JSON file in COCO's form, and images/",
    )


def _list(args: argparse.Namespace) -> int:
    """Print the models. Raises: UserError."""
    paths = sorted(args.folder.glob("*.toml"))
    cards = [(_load(str(name)), name) for name in (*list_model_names(), *paths)]
    models = [_listed(card, name if isinstance(name, Path) else None) for card, name in cards]
    if args.json:
        print_json(models)
        return 0
    table = Table()
    table.add_column("model", overflow="fold")
    for title in ("decoder", "input"):
        table.add_column(title, no_wrap=True)
    for title in ("AP50", "ms"):
        table.add_column(title, justify="right", no_wrap=True)
    for model in models:
        table.add_row(
            model.card or model.name,
            model.decoder,
            f"{model.width_px}x{model.height_px}",
            f"{model.mean_ap50:.3f}",
            f"{model.inference_ms:.1f}",
        )
    Console().print(table)
    return 0


def _listed(card: ModelCard, path: Path | None) -> ListedModel:
    return ListedModel(
        name=card.name,
        card=None if path is None else str(path),
        decoder=card.decoder,
        width_px=card.input.width_px,
        height_px=card.input.height_px,
        mean_ap50=mean_ap50(card.measured.ap50),
        inference_ms=card.measured.inference_ms,
        licence=card.licence,
        sha256=card.sha256,
    )


def _show(args: argparse.Namespace) -> int:
    """Print a card. Raises: UserError."""
    card = _load(args.model)
    if args.json:
        print_json(card)
    else:
        print(toml_writer.dumps(msgspec.to_builtins(card)), end="")
    return 0


def _load(model: str) -> ModelCard:
    """Raises: UserError."""
    try:
        return find_model(model).card
    except ModelRefused as error:
        raise UserError(str(error)) from error


def _measure(args: argparse.Namespace) -> int:
    """Measure models, and print the figures. Raises: UserError."""
    labelled = read_labelled_folder(args.labelled)
    try:
        models = [find_model(model) for model in args.models or list_model_names()]
        with progress_bar("measuring") as on_progress:
            measured = measure(models, labelled, on_progress)
    except ModelRefused as error:
        raise UserError(str(error)) from error
    _print_measured(measured, is_json=args.json)
    return 0


def _add(args: argparse.Namespace) -> int:
    """Add a model, and print its figures next to those of the shipped models. Raises: UserError."""
    own = OwnModel(
        file=args.file,
        name=default_name(args.file) if args.name is None else args.name,
        decoder=args.decoder,
        labels=args.labels,
        licence=parse_text(args.licence, "--licence"),
        source=parse_text(args.source, "--source"),
        colour=args.colour,
    )
    labelled = read_labelled_folder(args.labelled)
    with progress_bar("measuring") as on_progress:
        measured = add_model(own, labelled, args.folder, on_progress)
    _print_measured(measured, is_json=args.json)
    if not args.json:
        print(f"{args.folder / own.name}.toml: written, with {own.name}.tflite")
    return 0


def _print_measured(measured: Sequence[Measurement], *, is_json: bool) -> None:
    if is_json:
        print_json(measured)
        return
    table = Table("AP50")
    for one in measured:
        table.add_column(one.model, justify="right", overflow="fold")
    for label in LABELS:
        table.add_row(label, *(_figure(one.ap50.get(label)) for one in measured))
    table.add_row("mean", *(_figure(one.mean_ap50) for one in measured))
    table.add_row("CPU of a pass, ms", *(f"{one.cpu_ms:.1f}" for one in measured))
    Console().print(table)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
