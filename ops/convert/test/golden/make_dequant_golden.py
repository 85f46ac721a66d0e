"""Writes dequant.json: random groups of every convertible tensor type and their values.

Oracle: the numpy implementation of the PyPI package `gguf` (MIT), which is independent of the TypeScript one.

    pip install gguf numpy && python make_dequant_golden.py > dequant.json
"""

import base64
import json
from importlib.metadata import version

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

SEED = 20
NUM_GROUPS = 4
NUM_SUPER_GROUPS = 2
NUM_PLAIN_VALUES = 64

# Byte offsets of the f16 fields in a group: random bits there would give infinities.
F16_OFFSETS = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}


def random_groups(name, rng):
    """Random bytes with plausible f16 fields: normal numbers of both signs, and one subnormal."""
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    groups = rng.integers(0, 256, ((NUM_SUPER_GROUPS if elements == 256 else NUM_GROUPS), size), dtype=np.uint8)
    for row, group in enumerate(groups):
        for offset in F16_OFFSETS[name]:
            value = 3e-7 if row == 0 else rng.normal(0, 0.05)
            group[offset : offset + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
    return groups.reshape(-1)


def plain_values(name, rng):
    values = rng.normal(0, 1, NUM_PLAIN_VALUES).astype(np.float32)
    if name == "F32":
        return np.frombuffer(values.tobytes(), np.uint8)
    if name == "F16":
        return np.frombuffer(values.astype(np.float16).tobytes(), np.uint8)
    return np.frombuffer((values.view(np.uint32) >> 16).astype(np.uint16).tobytes(), np.uint8)


def main():
    rng = np.random.default_rng(SEED)
    encode = lambda array: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    types = {}
    for name in ["F32", "F16", "BF16", *F16_OFFSETS]:
        data = random_groups(name, rng) if name in F16_OFFSETS else plain_values(name, rng)
        typed = data.view(np.float32) if name == "F32" else data.view(np.float16) if name == "F16" else data
        values = dequantize(typed, GGMLQuantizationType[name]).astype(np.float32).reshape(-1)
        types[name] = {"bytes": encode(data), "values": encode(values)}
    print(json.dumps({"oracle": f"gguf {version('gguf')}, numpy {np.__version__}", "types": types}, indent=1))


main()
