"""Reference forward pass: a dequantised GGUF file in plain float32 numpy.

The yardstick for quality. It shares nothing with the product: the PyPI package `gguf` reads and dequantises the file,
numpy multiplies. Activations and the KV cache are never quantised here, so a difference from it is the price of ours.

As a program it answers one window of tokens at a time, so the caller never has more than one window of full
distributions on disk:

    reference.py MODEL.gguf [--output-dir DIR]      one JSON request a line on stdin, one JSON answer a line on stdout

    {"tokens": [1, 2, 3]}                  -> {"targetLogprobs": [2 numbers], "top1": [3 ids]}
    {"tokens": [1, 2, 3], "file": "w0"}    -> the same; DIR/w0 then holds log-probabilities, little-endian float32
                                              [3, vocabulary], row i predicting what follows token i
    {"tokens": [1, 2, 3], "topK": 8}       -> the same and "topK": [3 lists of 8 [id, log-probability]], likeliest first

The first line out, before any request, is {"ready": true, "vocabSize": n}.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

# Llama's converter permutes the rows of the query and key projections so that rotary embedding pairs neighbours
# (2i, 2i + 1); qwen2 keeps the half style, (i, i + headDim / 2). See `LlamaModel.permute` in llama.cpp.
ROPE_STYLES = {"llama": "interleaved", "qwen2": "half"}


class UnsupportedModel(ValueError):
    """The file asks for something that this forward pass does not compute."""


class ReferenceModel:
    """Weights of one GGUF file in float32, and its forward pass."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self._fields = reader.fields
        architecture = self._field("general.architecture")
        if architecture not in ROPE_STYLES:
            raise UnsupportedModel(f"architecture {architecture!r}: only {', '.join(ROPE_STYLES)} are known")
        self.rope_style = ROPE_STYLES[architecture]

        self.num_layers = self._field(f"{architecture}.block_count")
        hidden_size = self._field(f"{architecture}.embedding_length")
        self.num_query_heads = self._field(f"{architecture}.attention.head_count")
        self.num_kv_heads = self._field(f"{architecture}.attention.head_count_kv", self.num_query_heads)
        self.head_dim = self._field(f"{architecture}.attention.key_length", hidden_size // self.num_query_heads)
        self.rms_norm_eps = np.float32(self._field(f"{architecture}.attention.layer_norm_rms_epsilon"))
        self.rope_theta = self._field(f"{architecture}.rope.freq_base", 10000.0)
        self._refuse_what_is_not_computed(architecture)

        # ggml lists dimensions innermost first; `dequantize` gives numpy's order, [rows, cols].
        self.weights = {t.name: dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
        if "rope_freqs.weight" in self.weights:
            raise UnsupportedModel("rope_freqs.weight: scaled rotary frequencies are not computed")
        self.lm_head = self.weights.get("output.weight", self.weights["token_embd.weight"])
        self.vocab_size = self.lm_head.shape[0]

    def _field(self, key, default=None):
        field = self._fields.get(key)
        if field is not None:
            return field.contents()
        if default is None:
            raise UnsupportedModel(f"the file has no {key}")
        return default

    def _refuse_what_is_not_computed(self, architecture):
        scaling = self._field(f"{architecture}.rope.scaling.type", "none")
        if scaling != "none":
            raise UnsupportedModel(f"rope scaling {scaling!r} is not computed")
        rope_dim = self._field(f"{architecture}.rope.dimension_count", self.head_dim)
        if rope_dim != self.head_dim:
            raise UnsupportedModel(f"rotary embedding of {rope_dim} of {self.head_dim} elements is not computed")

    def log_probs(self, tokens):
        """Log-probabilities [len(tokens), vocab_size], float32; row i predicts what follows tokens[i]."""
        hidden = self.weights["token_embd.weight"][np.asarray(tokens)]
        cos, sin = self._rope_tables(len(tokens))
        for layer in range(self.num_layers):
            hidden = hidden + self._attention(layer, self._norm(f"blk.{layer}.attn_norm", hidden), cos, sin)
            hidden = hidden + self._mlp(layer, self._norm(f"blk.{layer}.ffn_norm", hidden))
        logits = self._norm("output_norm", hidden) @ self.lm_head.T
        return log_softmax(logits)

    def _norm(self, name, x):
        mean_square = np.mean(np.square(x), axis=-1, keepdims=True)
        return x / np.sqrt(mean_square + self.rms_norm_eps) * self.weights[f"{name}.weight"]

    def _linear(self, name, x):
        bias = self.weights.get(f"{name}.bias")
        y = x @ self.weights[f"{name}.weight"].T
        return y if bias is None else y + bias

    def _mlp(self, layer, x):
        gate = self._linear(f"blk.{layer}.ffn_gate", x)
        up = self._linear(f"blk.{layer}.ffn_up", x)
        return self._linear(f"blk.{layer}.ffn_down", gate / (1 + np.exp(-gate)) * up)

    def _attention(self, layer, x, cos, sin):
        num_tokens = x.shape[0]

        def heads(name, count):
            return self._linear(f"blk.{layer}.{name}", x).reshape(num_tokens, count, self.head_dim).transpose(1, 0, 2)

        queries = self._rope(heads("attn_q", self.num_query_heads), cos, sin)
        keys = self._rope(heads("attn_k", self.num_kv_heads), cos, sin)
        values = heads("attn_v", self.num_kv_heads)
        # Query head h reads key/value head h // (query heads per key/value head).
        repeat = self.num_query_heads // self.num_kv_heads
        keys, values = np.repeat(keys, repeat, axis=0), np.repeat(values, repeat, axis=0)

        scores = queries @ keys.transpose(0, 2, 1) / np.float32(np.sqrt(self.head_dim))
        scores[:, np.triu(np.ones((num_tokens, num_tokens), dtype=bool), k=1)] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ values
        return self._linear(f"blk.{layer}.attn_output", mixed.transpose(1, 0, 2).reshape(num_tokens, -1))

    def _rope_tables(self, num_tokens):
        """Cosines and sines [num_tokens, head_dim / 2]; angles in float64, as positions times small frequencies."""
        frequencies = self.rope_theta ** (-np.arange(0, self.head_dim, 2) / self.head_dim)
        angles = np.outer(np.arange(num_tokens), frequencies)
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def _rope(self, x, cos, sin):
        """Rotates x [heads, tokens, head_dim] by its position."""
        half = self.head_dim // 2
        first, second = (x[..., :half], x[..., half:]) if self.rope_style == "half" else (x[..., 0::2], x[..., 1::2])
        rotated = first * cos - second * sin, first * sin + second * cos
        if self.rope_style == "half":
            return np.concatenate(rotated, axis=-1)
        return np.stack(rotated, axis=-1).reshape(x.shape)


def log_softmax(logits):
    """Row-wise, float32 in and out; the sum over the vocabulary is taken in float64."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64))).astype(np.float32)


def top_k(log_probs, k):
    """The k likeliest (id, log-probability) of every row, likeliest first; ties go to the lower id."""
    ids = np.argsort(-log_probs, axis=-1, kind="stable")[:, :k]
    return [[[int(i), float(row[i])] for i in row_ids] for row, row_ids in zip(log_probs, ids)]


def answer(model, request, output_dir):
    """The answer to one request line of the protocol in this module's docstring."""
    tokens = request["tokens"]
    log_probs = model.log_probs(tokens)
    response = {
        "targetLogprobs": log_probs[np.arange(len(tokens) - 1), tokens[1:]].tolist(),
        "top1": log_probs.argmax(axis=-1).tolist(),
    }
    if "file" in request:
        log_probs.astype("<f4").tofile(output_dir / request["file"])
    if "topK" in request:
        response["topK"] = top_k(log_probs, request["topK"])
    return response


def main():
    parser = argparse.ArgumentParser(description="Reference log-probabilities of a GGUF file, window by window.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--output-dir", type=Path, default=Path("."), help="where full distributions are written")
    arguments = parser.parse_args()
    model = ReferenceModel(arguments.model)
    print(json.dumps({"ready": True, "vocabSize": model.vocab_size}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(model, json.loads(line), arguments.output_dir)), flush=True)


if __name__ == "__main__":
    main()
