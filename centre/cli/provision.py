"""`vigie provision` at the centre: writes the settings of many boxes too."""

import argparse
import os
import sys
from pathlib import Path

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.cli import provision
from agent.cli.output import progress_bar
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.settings import MAX_SETTINGS_BYTES, InvalidSettings
from centre.provisioning import console_secrets, new_folder
from centre.provisioning.fleet_settings import SourceFile, build_fleet_settings
from centre.provisioning.settings_table import MAX_TABLE_BYTES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a box, and the options of the office."""
    provision.add_arguments(parser)
    group = parser.add_argument_group(
        "settings of many boxes",
        "Writes a settings file for each line of the table, and the secrets of their consoles, once all "
        "lines are good.",
    )
    group.add_argument(
        "--table", metavar="FILE", type=Path, help="a line for each box, CSV; headings are keys"
    )
    group.add_argument(
        "--template", metavar="FILE", type=Path, help="the settings that they have in common, TOML"
    )
    group.add_argument("--out", metavar="FOLDER", type=Path, help="a new or an empty folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the settings of many boxes, or run the command of a box. Raises: UserError."""
    options = {"--table": args.table, "--template": args.template, "--out": args.out}
    missing = [name for name, value in options.items() if value is None]
    if len(missing) == len(options):
        return provision.run(args)
    if missing:
        raise UserError(
            f"provision: {', '.join(missing)}: missing; {', '.join(options)} go together"
        )
    if args.check is not None:
        raise UserError("--check: not with --table, which checks all that it writes")
    return _write_fleet_settings(args.table, args.template, args.out.resolve())


def _write_fleet_settings(table: Path, template: Path, out: Path) -> int:
    new_folder.check_new_folder(out)
    table_file = _read_source("--table", table, MAX_TABLE_BYTES)
    template_file = _read_source("--template", template, MAX_SETTINGS_BYTES)
    try:
        with progress_bar("checking") as on_progress:
            fleet = build_fleet_settings(table_file, template_file, os.urandom, on_progress)
    except InvalidSettings as error:
        for problem in error.problems:
            print(f"vigie: {problem}", file=sys.stderr)
        return 2
    secrets = NewFile(data=console_secrets.format_list(fleet.console_secrets), mode=0o600)
    try:
        new_folder.create_folder(out, {**fleet.files, console_secrets.LIST_FILE: secrets})
    except OSError as error:
        raise UserError(f"--out {str(out)!r}: {error.strerror or error}") from error
    for note in fleet.notes:
        print(f"note: {note}")
    print(f"{out}: settings of {len(fleet.files)} boxes")
    print(f"{out / console_secrets.LIST_FILE}: the secrets of their consoles; the office keeps it")
    return 0


def _read_source(option: str, path: Path, max_bytes: int) -> SourceFile:
    try:
        return SourceFile(name=str(path), data=read_regular_file(path, max_bytes))
    except OSError as error:
        raise UserError(f"{option} {str(path)!r}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{option} {str(path)!r}: a path that contains NUL") from error
