"""Reading the weights of a TensorFlow.js graph model."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]


def read_weights(model: Path) -> Weights:
    """Read the float weights of a graph model, by name; those stored as float16 become float32."""
    manifest = json.loads(model.read_text())["weightsManifest"]
    weights: Weights = {}
    for group in manifest:
        content = b"".join((model.parent / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(content, stored, count, offset)
            offset += values.nbytes
            if entry["dtype"] == "float32":
                weights[entry["name"]] = values.astype(np.float32).reshape(entry["shape"])
        if offset != len(content):
            raise ValueError(f"{model.name}: {len(content)} bytes of weights, {offset} are named")
    return weights
