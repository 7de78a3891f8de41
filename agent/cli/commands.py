"""The type that every command's `add_parser` takes."""

import argparse
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # argparse has no public name for what `add_subparsers` returns, nor can it be subscripted.
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
else:
    Commands = argparse.Action
