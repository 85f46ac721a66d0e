"""Writes pre-tokenizers.json: how llama.cpp cuts texts under each pre-tokenizer name.

The vocabulary has merges across every border that a pre-tokenizer may or may not draw (digits with digits, a space with a
digit, letters with apostrophes, symbols with line ends), so the ids show where a text was cut. The model around it is one
layer of zeros: only its tokenizer runs.

    pip install gguf numpy xllamacpp && python make_pre_tokenizer_golden.py > pre-tokenizers.json
"""

import json
import os
import tempfile
import urllib.request
from importlib.metadata import version

import numpy as np
import xllamacpp
from gguf import GGUFWriter, TokenType

PRE_TOKENIZERS = ["default", "gpt-2", "smollm", "starcoder", "qwen2", "llama-bpe"]

# Pairs of byte strings, in merge order; each side is one byte or an earlier merge.
MERGES = [
    *[(b"1", b"2"), (b"12", b"3"), (b"123", b"4"), (b" ", b"1"), (b" 1", b"2"), (b"a", b"1"), (b"1", b"a")],
    *[(b"'", b"S"), (b"'", b"s"), (b"'", b"l"), (b"'l", b"l"), (b"a", b"'"), (b" ", b"'"), (b"'", b"a")],
    *[(b"!", b"!"), (b"!", b"\n"), (b" ", b"!"), (b"!", b"a"), (b"a", b"!"), (b".", b"a"), (b"_", b"a"), (b"$", b"a")],
    *[(b"\n", b"\n"), (b"\n\n", b"\n"), (b" ", b" "), (b"  ", b" "), (b" ", b"\n"), (b"  ", b"\n"), (b"\n", b" ")],
    *[(b"\t", b"a"), (b"\r", b"\n"), (b"\r\n", b"\r\n"), (b" ", b"a"), (b"a", b" "), (b"  ", b"a"), (b"1", b"."), (b".", b"1")],
    *[(b"\xc3", b"\xa9"), (b"\xc3\xa9", b"a"), (b"a", b"\xc3\xa9"), (b"^", b"^"), (b"+", b"1"), (b"=", b"=")],
    # ARABIC-INDIC DIGIT ONE, SUPERSCRIPT TWO, NO-BREAK SPACE, ZERO WIDTH NO-BREAK SPACE, NEXT LINE, IDEOGRAPHIC SPACE
    *[(b"\xd9", b"\xa1"), (b"\xd9\xa1", b"\xd9\xa1"), (b"1", b"\xd9\xa1"), (b"\xc2", b"\xb2"), (b"\xc2\xb2", b"\xc2\xb2")],
    *[(b"\xc2", b"\xa0"), (b"\xc2\xa0", b"a"), (b"\xc2\xa0", b"\xc2\xa0"), (b"\xef", b"\xbb"), (b"\xef\xbb", b"\xbf")],
    *[(b"\xef\xbb\xbf", b"a"), (b"a", b"\xef\xbb\xbf"), (b"\xef\xbb\xbf", b"!"), (b"\xc2", b"\x85"), (b"\xc2\x85", b"a")],
    *[(b" ", b"\xc2\x85"), (b"\xc2\x85", b"\xc2\x85"), (b"\xe3", b"\x80"), (b"\xe3\x80", b"\x80"), (b"\xe3\x80\x80", b"a")],
    *[(b"\xf0", b"\x9f"), (b"\xf0\x9f", b"\x98"), (b"\xf0\x9f\x98", b"\x80"), (b"\xf0\x9f\x98\x80", b"!"), (b" ", b"\xf0\x9f\x98\x80")],
]

CONTROL_TOKENS = ["<|endoftext|>", "<|im_end|>"]

TEXTS = [
    "1234 12345 1 a1 1a 12a 123",
    "1.1 1. .1 +1 =1 1=1",
    "a's a'S a'll 'll 's 'S a' 'a a'a IT'S",
    "!! !!a a!a !!\n !!!!\n\n a!\n",
    ".a _a $a =a ==a ^^a ^^!! \ta\ta",
    "a  a   a    a",
    "  a\n  a\n\n  a\n\n\na \n a  \n",
    "a\r\na\r\n\r\n!\r\n",
    "\n\n\n",
    "   ",
    "a ",
    "éa aé éé é1 'é",
    "\u0661\u0661\u0661 1\u0661 a\u0661",
    "\u00b2\u00b2 a\u00b2 1\u00b2",
    "a\u00a0a \u00a0a\u00a0\u00a0a 1\u00a01",
    "a\ufeffa \ufeffa \ufeff!",
    "a\u0085a \u0085a\u0085\u0085a",
    "\u3000a \u3000 a",
    "\U0001f600 a\U0001f600 \U0001f600! \U0001f600\U0001f600!!\U0001f600",
    "\U00020000\u4e2d\u6587 12\u4e2d",
    "a\u0301 e\u0301\u0301a",
    "def f(a):\n\treturn a!=1\n\n\n",
    "#!/bin/sh\n\n  a=$(a)  \n",
]


def byte_alphabet():
    """`bytes_to_unicode` of GPT-2's encoder.py."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


ALPHABET = byte_alphabet()


def spell(data):
    return "".join(ALPHABET[byte] for byte in data)


def write_model(path, pre, tokens, merges):
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    normal = [TokenType.NORMAL] * (len(tokens) - len(CONTROL_TOKENS))
    writer.add_token_types([TokenType.CONTROL] * len(CONTROL_TOKENS) + normal)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), 32), np.float32))
    writer.add_tensor("output_norm.weight", np.zeros(32, np.float32))
    for name in ["attn_norm", "ffn_norm"]:
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(32, np.float32))
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenize_all(path):
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 512
    params.warmup = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    for text in TEXTS:
        body = json.dumps({"content": text, "add_special": False, "parse_special": False}).encode()
        request = urllib.request.Request(
            server.listening_address + "/tokenize", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            yield json.load(response)["tokens"]


def main():
    merges = [f"{spell(left)} {spell(right)}" for left, right in MERGES]
    tokens = [*CONTROL_TOKENS, *ALPHABET, *[spell(left + right) for left, right in MERGES]]
    assert len(set(tokens)) == len(tokens)
    ids = {}
    with tempfile.TemporaryDirectory() as folder:
        for pre in PRE_TOKENIZERS:
            path = os.path.join(folder, f"{pre}.gguf")
            write_model(path, pre, tokens, merges)
            ids[pre] = list(tokenize_all(path))
    # One line for each list of ids.
    lines = lambda rows: "[\n   " + ",\n   ".join(json.dumps(row) for row in rows) + "\n  ]"
    print("{")
    print(f' "oracle": {json.dumps("xllamacpp " + version("xllamacpp"))},')
    print(f' "tokens": {json.dumps(tokens)},')
    print(f' "merges": {json.dumps(merges)},')
    print(f' "texts": {lines(TEXTS)},')
    print(' "ids": {\n  ' + ",\n  ".join(f"{json.dumps(pre)}: {lines(rows)}" for pre, rows in ids.items()) + "\n }")
    print("}")


main()
