"""Trains scikit-learn's LogisticRegression on exported features and answers for the features of a second set.

usage: logistic_regression.py FOLDER
FOLDER/request.json: {"partSize": int, "numDenseParts": int, "numHashedParts": int, "c": float, "labels": [int, ...]}
FOLDER/train.f16, FOLDER/test.f16: rows of float16, little-endian: the dense parts, then those that count pieces of words
Writes FOLDER/answers.json: {"answers": [int, ...], "probabilities": [float, ...]}, the latter of each answer.
"""

import json
import pathlib
import sys

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler


def penalty_root(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The inverse square root of 1 + scatter within the labels, where the scatter's mean variance is 1 if it were certain."""
    size = values.shape[1]
    centred = np.concatenate([values[labels == label] - values[labels == label].mean(0) for label in set(labels.tolist())])
    scatter = centred.T @ centred
    num_free = len(labels) - len(set(labels.tolist()))
    scatter *= num_free / (num_free + size) * size / np.trace(scatter)
    variances, directions = np.linalg.eigh(np.eye(size) + scatter)
    return directions * variances**-0.5


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())

    num_parts = request["numDenseParts"] + request["numHashedParts"]

    def rows(name: str) -> np.ndarray:
        values = np.fromfile(folder / name, dtype="<f2").astype(np.float64)
        return values.reshape(-1, num_parts * request["partSize"])

    def columns(part: int) -> slice:
        return slice(part * request["partSize"], (part + 1) * request["partSize"])

    def part(index: int) -> tuple:
        is_dense = index < request["numDenseParts"]
        scaler = StandardScaler() if is_dense else make_pipeline(FunctionTransformer(csr_matrix), TfidfTransformer(norm=None))
        return (str(index), make_pipeline(scaler, Normalizer()), columns(index))

    scaled = ColumnTransformer([part(index) for index in range(num_parts)], sparse_threshold=0)
    regression = LogisticRegression(C=request["c"], tol=1e-6, max_iter=1000)
    known = scaled.fit_transform(rows("train.f16")) / num_parts**0.5
    unseen = scaled.transform(rows("test.f16")) / num_parts**0.5
    for index in range(request["numDenseParts"]):
        root = penalty_root(known[:, columns(index)], np.array(request["labels"]))
        for values in (known, unseen):
            values[:, columns(index)] = values[:, columns(index)] @ root
    hashed = slice(request["numDenseParts"] * request["partSize"], None)
    for values in (known, unseen):
        values[:, hashed] *= 0.5
    regression.fit(known, request["labels"])
    probabilities = regression.predict_proba(unseen)
    answers = {
        "answers": regression.classes_[probabilities.argmax(axis=1)].tolist(),
        "probabilities": probabilities.max(axis=1).tolist(),
    }
    (folder / "answers.json").write_text(json.dumps(answers))


main()
