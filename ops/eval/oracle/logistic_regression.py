"""Trains scikit-learn's LogisticRegression on exported features and answers for the features of a second set.

usage: logistic_regression.py FOLDER
FOLDER/request.json: {"featureSize": int, "c": float, "labels": [int, ...]}
FOLDER/train.f16, FOLDER/test.f16: rows of float16, little-endian
Writes FOLDER/answers.json: {"answers": [int, ...], "probabilities": [float, ...]}, the latter of each answer.
"""

import json
import pathlib
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())

    def rows(name: str) -> np.ndarray:
        values = np.fromfile(folder / name, dtype="<f2").astype(np.float64)
        return values.reshape(-1, request["featureSize"])

    regression = LogisticRegression(C=request["c"], tol=1e-6, max_iter=1000)
    pipeline = make_pipeline(StandardScaler(), Normalizer(), regression)
    pipeline.fit(rows("train.f16"), request["labels"])
    probabilities = pipeline.predict_proba(rows("test.f16"))
    answers = {
        "answers": pipeline.classes_[probabilities.argmax(axis=1)].tolist(),
        "probabilities": probabilities.max(axis=1).tolist(),
    }
    (folder / "answers.json").write_text(json.dumps(answers))


main()
