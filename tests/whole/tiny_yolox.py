"""Write a model with the outputs of YOLOX and random weights as ONNX: `python tiny_yolox.py FILE`.

Run by the converter's own interpreter, which has the package onnx.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE_PX, CLASS_COUNT = 64, 6
STRIDES = (8, 16, 32)
ROW = 5 + CLASS_COUNT


def main(path: str) -> None:
    rng = np.random.default_rng(1)
    nodes, constants, levels = [], [], []
    for s in STRIDES:
        weights = rng.normal(0, 0.02, (ROW, 3, s, s)).astype(np.float32)
        constants += [
            numpy_helper.from_array(weights, f"weights{s}"),
            numpy_helper.from_array(np.array([4, 1 + CLASS_COUNT]), f"split{s}"),
            numpy_helper.from_array(np.array([1, ROW, -1]), f"shape{s}"),
        ]
        strides = {"strides": [s, s], "kernel_shape": [s, s]}
        nodes += [
            helper.make_node("Conv", ["images", f"weights{s}"], [f"conv{s}"], **strides),
            helper.make_node("Split", [f"conv{s}", f"split{s}"], [f"box{s}", f"raw{s}"], axis=1),
            helper.make_node("Sigmoid", [f"raw{s}"], [f"score{s}"]),
            helper.make_node("Concat", [f"box{s}", f"score{s}"], [f"map{s}"], axis=1),
            helper.make_node("Reshape", [f"map{s}", f"shape{s}"], [f"flat{s}"]),
        ]
        levels.append(f"flat{s}")
    nodes += [
        helper.make_node("Concat", levels, ["columns"], axis=2),
        helper.make_node("Transpose", ["columns"], ["output"], perm=[0, 2, 1]),
    ]
    cell_count = sum((SIZE_PX // s) ** 2 for s in STRIDES)
    graph = helper.make_graph(
        nodes,
        "yolox",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cell_count, ROW])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


if __name__ == "__main__":
    main(sys.argv[1])
