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

    def greedy(self, prompt_tokens, num_tokens, num_probs):
        """Greedy continuation: a list of steps {"id", "logprob", "top": [[id, logprob], ...]}, the end token included.

        Log-probabilities are of the unmodified distribution.
        """
        result = self._post(
            "/completion",
            {
                "prompt": prompt_tokens,
                "n_predict": num_tokens,
                "temperature": 0,
                "repeat_penalty": 1,
                "n_probs": num_probs,
                "cache_prompt": False,
            },
        )
        if result["tokens_evaluated"] != len(prompt_tokens) or result["truncated"]:
            raise ValueError(f"the prompt of {len(prompt_tokens)} tokens does not fit {CONTEXT_TOKENS}")
        return [
            {
                "id": step["id"],
                "logprob": step["logprob"],
                "top": [[candidate["id"], candidate["logprob"]] for candidate in step["top_logprobs"]],
            }
            for step in result["completion_probabilities"]
        ]


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
