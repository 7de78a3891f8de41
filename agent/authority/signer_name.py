"""Names of signers: the allowed alphabet, and which two names count as one. Pure.

Narrower than PRECIS (RFC 8266), which leaves mixed scripts and letters that look alike to its user: one script for a name, Latin
or Arabic, and a fold that brings names together that a person can take for each other.
"""

import unicodedata

MAX_NAME_CHARS = 64
ALLOWED = (
    f"1 to {MAX_NAME_CHARS} characters, in NFC, of one script: Latin letters with or without accents, digits, "
    "space and - ' . _, or Arabic letters, space and -; first a letter or a digit, no blank at the end, no two in a row"
)
_ARABIC_LETTERS = frozenset(
    (*map(chr, range(0x0621, 0x063B)), *map(chr, range(0x0641, 0x064B)), *"پچڤڨڭگ")
)
_ASCII_LETTERS_AND_DIGITS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)
_LATIN_SEPARATORS, _ARABIC_SEPARATORS = frozenset(" -'._"), frozenset(" -")
_LOOK_ALIKES = str.maketrans(
    {"0": "o", "1": "l", "i": "l", "\N{ARABIC LETTER ALEF MAKSURA}": "\N{ARABIC LETTER YEH}"}
    | {"\N{ARABIC LETTER TEH MARBUTA}": "\N{ARABIC LETTER HEH}"}
)
_LOOK_ALIKE_PAIRS = (("rn", "m"), ("vv", "w"))


class BadSignerName(ValueError):
    """A text is no name of a signer. `str(error)` is one line."""


def check_signer_name(name: str) -> None:
    """Raise BadSignerName unless a text is a name of ALLOWED."""
    if not _is_allowed(name):
        raise BadSignerName(f"{name[:MAX_NAME_CHARS]!a}: allowed: {ALLOWED}")


def fold_name(name: str) -> str:
    """Return a text that is the same for all names that count as one person's.

    Without case, accents, the hamza on its letter, separators, and the difference of what looks alike.
    """
    decomposed = unicodedata.normalize("NFD", name.casefold())
    letters = "".join(char for char in decomposed if char.isalnum()).translate(_LOOK_ALIKES)
    for pair, letter in _LOOK_ALIKE_PAIRS:
        letters = letters.replace(pair, letter)
    return letters


def _is_allowed(name: str) -> bool:
    if not 0 < len(name) <= MAX_NAME_CHARS or not unicodedata.is_normalized("NFC", name):
        return False
    if not name[0].isalnum() or name.endswith(" ") or "  " in name:
        return False
    is_latin = all(_is_latin(char) or char in _LATIN_SEPARATORS for char in name)
    return is_latin or all(char in _ARABIC_LETTERS or char in _ARABIC_SEPARATORS for char in name)


def _is_latin(char: str) -> bool:
    """Return whether a character is an ASCII letter or digit, or such a letter with accents."""
    decomposed = unicodedata.normalize("NFD", char)
    return decomposed[0] in _ASCII_LETTERS_AND_DIGITS and all(
        map(unicodedata.combining, decomposed[1:])
    )
