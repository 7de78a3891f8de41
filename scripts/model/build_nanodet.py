"""Make a NanoDet file of the agent from the published package: full int8, uint8 RGB in, six classes.

The README.md next to this file has the commands. Says the file's sha256, and ends with 1 if it is not
the card's.
"""

import argparse
import hashlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from calibration import Rgb, read_pictures
from nanodet_graph import NanodetGraph
from nanodet_layers import DEVIATION, ZERO_POINT, fold_input, keep_road_classes, read_layers
from tfjs_weights import read_weights


def quantise(graph: NanodetGraph, pictures: Iterator[Rgb]) -> bytes:
    """Return the graph as a TensorFlow Lite file in 8 bits, calibrated with the pictures."""

    def samples() -> Iterator[list[np.ndarray]]:
        for picture in pictures:
            values = picture.astype(np.float32)
            # Both ends of the range in every sample: one step of the input is one step of a picture.
            values[0, 0], values[0, 1] = 0, 255
            yield [(values[np.newaxis] - ZERO_POINT) / np.float32(DEVIATION)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [graph.detect.get_concrete_function()], graph
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    return bytes(converter.convert())


def main() -> None:
    """Build one file and compare its hash with the card's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="folder of the unpacked npm package")
    parser.add_argument("footage", type=Path, help="folder of the clips of calibration-clips.txt")
    parser.add_argument("card", type=Path, help="the model's card; the file is written next to it")
    args = parser.parse_args()
    card = tomllib.loads(args.card.read_text())
    size_px = card["input"]["width_px"]
    names = (Path(__file__).parent / "calibration-clips.txt").read_text().split()
    layers = read_layers(read_weights(args.package / "models" / "nanodet.json"))
    graph = NanodetGraph(fold_input(keep_road_classes(layers)), size_px)
    content = quantise(graph, read_pictures([args.footage / name for name in names], size_px))
    output = args.card.with_suffix(".tflite")
    output.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    print(f"{digest}  {output}")
    if digest != card["sha256"]:
        sys.exit(f"{args.card.name}: says sha256 {card['sha256']}")


if __name__ == "__main__":
    main()
