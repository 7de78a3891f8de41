"""Cut an SSD's class scores to road users.

    python scripts/model/ssd_road_users.py ssdlite.tflite ssdlite_mobilenet_v2.tflite

Input: a .tflite file of an SSD with `TFLite_Detection_PostProcess` at its end, of COCO's 90 classes, such as
rebuild.py writes. Output: the same weights, without those of the background and of the classes that are no road
users. The same input gives the same bytes; a file that is cut already stays as it is. Needs the project's own
environment.
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

COCO_CLASSES = 91
"""With the background, which is the first."""
ROAD_USERS = {"person": 1, "bicycle": 2, "car": 3, "motorcycle": 4, "bus": 6, "truck": 8}
"""COCO's numbers. The output's class numbers are their order, from zero."""
MIN_SCORE = 0.05
"""The operation suppresses boxes from this score: lower than any card's `keep_track`, because average precision
counts them too; with .2 it costs the same."""
POST_PROCESS = b"TFLite_Detection_PostProcess"
_BUFFER_ALIGNMENT = 16


class AlignedBuffer(schema.BufferT):
    """A buffer whose bytes are aligned as the format demands; the generated code does not align them."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the generated name
        """Write the buffer."""
        if self.data is None:
            return int(super().Pack(builder))
        data = np.asarray(self.data, np.uint8).tobytes()
        builder.StartVector(1, len(data), _BUFFER_ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        builder.vectorNumElems = len(data)
        offset = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, offset)
        return int(schema.BufferEnd(builder))


class ClassScores:
    """The part of the graph that computes the class scores: traced back from the post-processing."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.producer = {
            tensor: operator for operator in self.graph.operators for tensor in operator.outputs
        }
        last = [o for o in self.graph.operators if self._code(o).customCode == POST_PROCESS]
        if len(last) != 1:
            sys.exit(f"{len(last)} operations {POST_PROCESS.decode()}; one is expected")
        self.post_process = last[0]

    def _code(self, operator: Any) -> Any:
        return self.model.operatorCodes[operator.opcodeIndex]

    def cut(self, columns: Sequence[int]) -> None:
        """Keep the columns of each anchor's class scores, from the convolutions to the post-processing."""
        waiting, seen = [self.post_process.inputs[1]], set()
        while waiting:
            index = waiting.pop()
            if index in seen:
                continue
            seen.add(index)
            operator = self.producer[index]
            if self._code(operator).builtinCode == schema.BuiltinOperator.CONV_2D:
                self._cut_convolution(operator, columns)
                continue
            tensor = self.graph.tensors[index]
            tensor.shape = [*tensor.shape[:-1], len(columns)]
            inputs = list(operator.inputs)
            if self._code(operator).builtinCode == schema.BuiltinOperator.RESHAPE:
                self._cut_reshape(operator, len(columns))
                inputs = inputs[:1]
            waiting += inputs

    def _cut_reshape(self, operator: Any, column_count: int) -> None:
        buffer = self._buffer(operator.inputs[1])
        shape = np.asarray(buffer.data, np.uint8).view(np.int32).copy()
        shape[-1] = column_count
        buffer.data = shape.view(np.uint8)
        if operator.builtinOptions is not None:
            operator.builtinOptions.newShape = shape

    def _cut_convolution(self, operator: Any, columns: Sequence[int]) -> None:
        _, weights, bias = (self.graph.tensors[i] for i in operator.inputs)
        output = self.graph.tensors[operator.outputs[0]]
        anchors = weights.shape[0] // COCO_CLASSES
        rows = np.concatenate(
            [anchor * COCO_CLASSES + np.array(columns) for anchor in range(anchors)]
        )
        for index, tensor in zip(operator.inputs[1:], (weights, bias), strict=True):
            buffer = self._buffer(index)
            by_row = np.asarray(buffer.data, np.uint8).reshape(tensor.shape[0], -1)
            buffer.data = np.ascontiguousarray(by_row[rows]).reshape(-1)
            tensor.shape = [len(rows), *tensor.shape[1:]]
            quantization = tensor.quantization
            quantization.scale = np.asarray(quantization.scale)[rows]
            quantization.zeroPoint = np.asarray(quantization.zeroPoint)[rows]
        output.shape = [*output.shape[:-1], len(rows)]

    def _buffer(self, tensor_index: int) -> Any:
        number = self.graph.tensors[tensor_index].buffer
        users = sum(tensor.buffer == number for tensor in self.graph.tensors)
        if users != 1:
            sys.exit(f"tensor {tensor_index}: its buffer has {users} users; one is expected")
        return self.model.buffers[number]

    def set_options(self, changes: Mapping[str, Any]) -> None:
        """Change options of the post-processing."""
        options = flexbuffers.Loads(bytes(self.post_process.customOptions))
        self.post_process.customOptions = list(flexbuffers.Dumps(options | dict(changes)))


def cut_model(content: bytes) -> bytes:
    """Return the model with the class scores of road users alone. Exits if it is no SSD of COCO's classes."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    scores = ClassScores(model)
    class_count = scores.graph.tensors[scores.post_process.inputs[1]].shape[-1]
    if class_count == COCO_CLASSES:
        scores.cut(list(ROAD_USERS.values()))
    elif class_count != len(ROAD_USERS):
        sys.exit(f"{class_count} classes; allowed: {COCO_CLASSES} of COCO, or {len(ROAD_USERS)}")
    scores.set_options({"num_classes": len(ROAD_USERS), "nms_score_threshold": MIN_SCORE})
    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Cut the file, and print the hash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    content = cut_model(args.model.read_bytes())
    args.output.write_bytes(content)
    sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {args.output}\n")


if __name__ == "__main__":
    main()
