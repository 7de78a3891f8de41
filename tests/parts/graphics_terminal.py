"""A terminal program that answers queries, and a decoder of what it is sent."""

import re

import numpy as np

from tests.parts.console_peers import MemoryByteLine


class GraphicsTerminal:
    """Answers DA1 with `da1`, and kitty's query with `kitty`; empty: not at all."""

    def __init__(self, da1: bytes = b"", kitty: bytes = b"") -> None:
        self._da1 = da1
        self._kitty = kitty

    def sit_at(self, line: MemoryByteLine) -> None:
        """Answer on a line from now on."""
        write = line.write

        def write_and_answer(data: bytes) -> None:
            write(data)
            answer = b""
            if data.startswith(b"\x1b_G") and b"a=q" in data:
                answer += self._kitty
            if data.endswith(b"\x1b[c"):
                answer += self._da1
            if answer:
                line.input_chunks.insert(0, answer)

        line.write = write_and_answer  # type: ignore[method-assign] # the other end of this line


def decode_sixel(data: bytes) -> np.ndarray:
    """Return the grey picture of the only sixel string."""
    (content,) = re.findall(rb"\x1bPq(.*?)\x1b\\", data, re.DOTALL)
    attributes = re.match(rb'"1;1;(\d+);(\d+)', content)
    assert attributes
    picture = np.zeros((int(attributes[2]), int(attributes[1])), np.uint8)
    greys: dict[int, int] = {}
    x = y = grey = 0
    tokens = re.findall(
        rb"#(\d+);2;(\d+);\2;\2|#(\d+)|!(\d+)([?-~])|([?-~])|(\$)|(-)", content[attributes.end() :]
    )
    for index, percent, colour, count, run, single, carriage_return, new_line in tokens:
        if percent:
            greys[int(index)] = round(int(percent) * 255 / 100)
        elif colour:
            grey = greys[int(colour)]
        elif run or single:
            length = int(count or 1)
            bits = (run or single)[0] - 63
            for row in range(6):
                if bits >> row & 1:
                    picture[y + row, x : x + length] = grey
            x += length
        elif carriage_return:
            x = 0
        elif new_line:
            x, y = 0, y + 6
    return picture
