"""Makes golden/text-reference.json: the float32 reference's view of golden/text.txt, for the committed quality gate.

    make_golden_text.py MODEL.gguf

The text is tokenised by llama.cpp in one go and cut into windows, each started at position 0.
"""

import argparse
from pathlib import Path

from compact import compact_distributions
from llama_cpp import LlamaCpp, provenance, write_json
from reference import ReferenceModel

GOLDEN_DIR = Path(__file__).parent.parent / "golden"
WINDOW_TOKENS = 512
# Eight and the rest mass hold 63 % of the divergence over the whole vocabulary (measured with int8 activations and KV
# cache: 0.00158 of 0.00252 nats); the gate scales its bound by that.
REFERENCE_TOP_K = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    text = (GOLDEN_DIR / "text.txt").read_text(encoding="utf-8")
    tokens = LlamaCpp(arguments.model).tokenize(text)
    reference = ReferenceModel(arguments.model)
    rows = []
    for start in range(0, len(tokens), WINDOW_TOKENS):
        window = tokens[start : start + WINDOW_TOKENS]
        log_probs = reference.log_probs(window)[:-1]
        rows.append({"tokens": window, **compact_distributions(log_probs, window[1:], REFERENCE_TOP_K)})
    header = {
        "madeBy": "ops/eval/oracle/make_golden_text.py",
        **provenance(arguments.model),
        "windowTokens": WINDOW_TOKENS,
        "topK": REFERENCE_TOP_K,
    }
    write_json(GOLDEN_DIR / "text-reference.json", header, "windows", rows)
    print(f"{len(tokens)} tokens in {len(rows)} windows")


if __name__ == "__main__":
    main()
