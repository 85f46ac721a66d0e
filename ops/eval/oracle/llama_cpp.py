"""llama.cpp's own server, in process, as the second oracle (PyPI package `xllamacpp`).

Set up to be repeatable: one thread, one slot, f16 KV cache, no flash attention, no prompt cache between requests.
"""

import hashlib
import json
import urllib.request
from importlib.metadata import version

import xllamacpp

# Longest prompt and answer of any golden case fit; a wrong setting shows as a truncated prompt, which `post` refuses.
CONTEXT_TOKENS = 4096
# A request that hangs must not hang the script: the slowest takes a few seconds.
REQUEST_TIMEOUT_S = 120


class LlamaCpp:
    """One loaded model and its HTTP interface on a free local port."""

    def __init__(self, model_path):
        params = xllamacpp.CommonParams()
        params.model.path = str(model_path)
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F16
        params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F16
        params.verbosity = 0
        self._server = xllamacpp.Server(params)

    def _post(self, path, body):
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:
            return json.load(response)

    def tokenize(self, text, parse_special=False):
        """Token ids of a text, without a beginning-of-text token."""
        body = {"content": text, "add_special": False, "parse_special": parse_special}
        return self._post("/tokenize", body)["tokens"]

    def render_chat(self, messages):
        """The prompt text of a conversation, by the model's own template, ready for the assistant's answer."""
        return self._post("/apply-template", {"messages": messages})["prompt"]

    def greedy(self, prompt_tokens, num_tokens, num_probs, banned=()):
        """Greedy continuation, the end token included: (token ids, for each the `num_probs` likeliest or None).

        Log-probabilities [[id, logprob], ...] are of the unmodified distribution. llama.cpp reports none for a token
        that leaves a UTF-8 character unfinished: None stands there. Tokens in `banned` are not chosen.
        """
        result = self._post(
            "/completion",
            {
                "prompt": prompt_tokens,
                "n_predict": num_tokens,
                "temperature": 0,
                "repeat_penalty": 1,
                "n_probs": num_probs,
                "return_tokens": True,
                "cache_prompt": False,
                "logit_bias": [[token, False] for token in banned],
            },
        )
        if result["tokens_evaluated"] != len(prompt_tokens) or result["truncated"]:
            raise ValueError(f"the prompt of {len(prompt_tokens)} tokens does not fit {CONTEXT_TOKENS}")
        tokens, reported = result["tokens"], result["completion_probabilities"]
        tops = [None] * len(tokens)
        for index, step in zip(_positions_of_subsequence([step["id"] for step in reported], tokens), reported):
            tops[index] = [[candidate["id"], candidate["logprob"]] for candidate in step["top_logprobs"]]
        return tokens, tops


def _positions_of_subsequence(part, whole):
    """Where the items of `part` lie in `whole`, in order; refuses when there is more than one way, or none."""

    def leftmost(part, whole):
        positions, start = [], 0
        for item in part:
            positions.append(whole.index(item, start))
            start = positions[-1] + 1
        return positions

    first = leftmost(part, whole)
    last = [len(whole) - 1 - position for position in leftmost(part[::-1], whole[::-1])][::-1]
    if first != last:
        raise ValueError("reported probabilities fit the tokens in more than one way")
    return first


def provenance(model_path):
    """What golden data must carry so that it can be made again."""
    with open(model_path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"modelSha256": digest, **{name: version(name) for name in ("gguf", "numpy", "xllamacpp")}}


def write_json(path, header, rows_key, rows):
    """JSON with one row a line: small, and a diff shows which case changed."""

    def compact(value):
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))

    head = "".join(f"  {json.dumps(key)}: {compact(value)},\n" for key, value in header.items())
    body = ",\n".join(f"    {compact(row)}" for row in rows)
    path.write_text(f'{{\n{head}  {json.dumps(rows_key)}: [\n{body}\n  ]\n}}\n', encoding="utf-8")
