"""The sentences below the fields of a struct, for documents."""

import ast
import inspect
from itertools import pairwise

import msgspec


def read_field_docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the sentence below each field that has one, by the field's name."""
    found: dict[str, str] = {}
    for base in struct.__mro__[: struct.__mro__.index(msgspec.Struct)]:
        try:
            source = inspect.getsource(base)
        except OSError:  # made by `add_args`, which adds no docstrings
            continue
        lines = [line for node in ast.parse(source).body for line in ast.iter_child_nodes(node)]
        for line, after in pairwise(lines):
            match line, after:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found.setdefault(name, " ".join(text.split()))
    return found
