"""Makes golden/chat-greedy.json and golden/chat-reference.json.

    make_golden_chat.py MODEL.gguf

chat-greedy.json: llama.cpp's greedy answers to twenty conversations, with the prompt as llama.cpp renders and tokenises
it. chat-reference.json: what the float32 reference thinks along those answers (teacher-forced), top k and target.
"""

import argparse
from pathlib import Path

from chat_prompts import CHAT_PROMPTS, COMPARED_TOKENS
from compact import compact_distributions
from llama_cpp import LlamaCpp, provenance, write_json
from reference import ReferenceModel

GOLDEN_DIR = Path(__file__).parent.parent / "golden"
NUM_ANSWER_TOKENS = 32
# The likeliest and the runner-up: the gap between them says whether a different token was a near-tie.
NUM_TOP = 2
REFERENCE_TOP_K = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    llama = LlamaCpp(arguments.model)
    reference = ReferenceModel(arguments.model)

    greedy_rows, reference_rows = [], []
    for name, messages in CHAT_PROMPTS.items():
        prompt_text = llama.render_chat(messages)
        # The template's own special tokens are meant; the conversations hold none.
        prompt = llama.tokenize(prompt_text, parse_special=True)
        answer, tops = llama.greedy(prompt, NUM_ANSWER_TOKENS, NUM_TOP)
        # Row i predicts token i + 1: the first answer token is predicted by the prompt's last row.
        log_probs = reference.log_probs(prompt + answer[:-1])[len(prompt) - 1 :]
        if log_probs.argmax(axis=-1).tolist()[:COMPARED_TOKENS] != answer[:COMPARED_TOKENS]:
            raise ValueError(f"{name}: the oracles disagree within {COMPARED_TOKENS} tokens; choose another")
        greedy_rows.append(
            {
                "name": name,
                "messages": messages,
                "promptText": prompt_text,
                "promptTokens": prompt,
                "answerTokens": answer,
                "top": [top and [[token, round(logprob, 4)] for token, logprob in top] for top in tops],
            }
        )
        reference_rows.append({"name": name, **compact_distributions(log_probs, answer, REFERENCE_TOP_K)})

    header = {"madeBy": "ops/eval/oracle/make_golden_chat.py", **provenance(arguments.model)}
    write_json(GOLDEN_DIR / "chat-greedy.json", header, "cases", greedy_rows)
    write_json(GOLDEN_DIR / "chat-reference.json", header | {"topK": REFERENCE_TOP_K}, "cases", reference_rows)
    print(f"{len(greedy_rows)} conversations, {sum(len(row['answerTokens']) for row in greedy_rows)} answer tokens")


if __name__ == "__main__":
    main()
