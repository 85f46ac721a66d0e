"""llama.cpp's own OpenAI server, as the peer of `lamina bench`: one thread, one file, on a loopback port.

Usage: llama_cpp_server.py MODEL.gguf PORT CONTEXT SLOTS
Prints one line when it serves; ends when its standard input ends, so it cannot outlive the bench.
"""

import sys

import xllamacpp


def main() -> None:
    model, port = sys.argv[1], int(sys.argv[2])
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = int(sys.argv[3])
    params.n_parallel = int(sys.argv[4])
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.warmup = True
    server = xllamacpp.Server(params)
    print(f"serving {server.listening_address}", flush=True)
    sys.stdin.read()


main()
