"""Fits the projection that turns features of one part into embeddings, from features of short texts.

    lamina eval features --texts TEXTS.jsonl --parts 1:mean --out FOLDER
    fit_projection.py FOLDER ops/models/projections/MODEL.json

Hidden states have a few directions in which all texts differ much, whatever they say. Each dimension is standardised, the
vector scaled to length 1, centred, turned to its principal components, and each component scaled by its deviation to the
power -0.75: between none and full whitening. The first components come first, so a shorter embedding is a beginning of
a longer one. The projection is the numbers of two means, one deviation and an int8 matrix; nothing of the texts is in it.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np

NUM_DIMENSIONS = 256
POWER = 0.75
# Of the largest variance: components with less are noise of the int8 kernels as much as of the texts.
VARIANCE_FLOOR = 1e-3


def main(folder, output):
    description = json.loads((folder / "features.json").read_text())
    features = np.fromfile(folder / "features.f32", dtype="<f4").reshape(description["numTexts"], -1).astype(np.float64)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / deviation
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    centre = scaled.mean(0)
    variances, components = np.linalg.eigh(np.cov(scaled - centre, rowvar=False, bias=True))
    order = np.argsort(-variances)[:NUM_DIMENSIONS]
    floor = VARIANCE_FLOOR * variances.max()
    rows = (components[:, order] * (np.maximum(variances[order], 0) + floor) ** (-POWER / 2)).T
    # A component's sign is arbitrary, and differs from one linear-algebra library to the next.
    rows *= np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(1)])[:, None]
    scales = np.abs(rows).max(1) / 127
    quants = np.round(rows / scales[:, None]).astype(np.int8)
    encode = lambda values, dtype: base64.b64encode(values.astype(dtype).tobytes()).decode()
    projection = {
        "format": 1,
        "model": description["model"],
        "part": description["parts"][0],
        "windowTokens": description["windowTokens"],
        "dimensions": NUM_DIMENSIONS,
        "mean": encode(mean, "<f4"),
        "deviation": encode(deviation, "<f4"),
        "centre": encode(centre, "<f4"),
        "scales": encode(scales, "<f4"),
        "quants": encode(quants, "i1"),
    }
    output.write_text(json.dumps(projection, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
