"""Makes golden/tiny-qwen2.json: llama.cpp's and the reference's view of a small random-weight qwen2 model.

    make_golden_tiny.py TINY.gguf          the file that `node ops/eval/tiny-qwen2.ts` writes

Both oracles are asked for log-probabilities along llama.cpp's greedy answers. Their distance is the price of llama.cpp's
int8 activations on this model, which is what ours may cost too; the file records it.
"""

import argparse
from pathlib import Path

import numpy as np

from compact import UNITS_PER_NAT, compact_distributions
from llama_cpp import LlamaCpp, provenance, write_json
from reference import ReferenceModel

GOLDEN = Path(__file__).parent.parent / "golden" / "tiny-qwen2.json"
PROMPTS = ["The cat is on the table and ", "123 hello", "zq\nœé", "the and of you " * 10]
NUM_ANSWER_TOKENS = 32
TOP_K = 8

# The vocabulary of tiny models: control tokens, then the 256 bytes, then merges of ASCII letters.
NUM_CONTROL_TOKENS = 3
NUM_BYTES = 256
# llama.cpp reports no probabilities while a UTF-8 character is unfinished, so bytes outside ASCII are banned; and so are
# control tokens, one of which would end the answer.
BANNED = [*range(NUM_CONTROL_TOKENS), *range(NUM_CONTROL_TOKENS + 128, NUM_CONTROL_TOKENS + NUM_BYTES)]


def compact_tops(tops):
    """llama.cpp's likeliest tokens in the form of `compact_distributions`, banned ones included."""
    return {
        "topIds": [token for top in tops for token, _ in top],
        "topLogprobs": [round(logprob * UNITS_PER_NAT) for top in tops for _, logprob in top],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    llama = LlamaCpp(arguments.model)
    reference = ReferenceModel(arguments.model)
    rows, differences = [], []
    for prompt_text in PROMPTS:
        prompt = llama.tokenize(prompt_text)
        answer, tops = llama.greedy(prompt, NUM_ANSWER_TOKENS, TOP_K, BANNED)
        log_probs = reference.log_probs(prompt + answer[:-1])[len(prompt) - 1 :]
        for position, top in enumerate(tops):
            differences += [logprob - log_probs[position, token] for token, logprob in top]
        rows.append(
            {
                "promptTokens": prompt,
                "answerTokens": answer,
                "llama": compact_tops(tops),
                "reference": compact_distributions(log_probs, answer, TOP_K),
            }
        )
    header = {
        "madeBy": "ops/eval/oracle/make_golden_tiny.py",
        **provenance(arguments.model),
        "topK": TOP_K,
        "bannedTokens": BANNED,
        "llamaRmsDifference": round(float(np.sqrt(np.mean(np.square(differences)))), 4),
    }
    write_json(GOLDEN, header, "cases", rows)
    print(f"{len(rows)} prompts, root mean square difference {header['llamaRmsDifference']} nats")


if __name__ == "__main__":
    main()
