"""llama.cpp's own OpenAI server as a GPU origin's stand-in: keys, /slots and /metrics on, as an operator would run it.

Reads one line of JSON from standard input:
    {"model": file, "alias": name, "host": "127.0.0.1", "port": 0, "slots": 4, "context": 4096, "threads": 2, "key": null}
Prints `serving <url>` when it answers, and ends when its standard input ends, so it cannot outlive who started it.
The key comes this way because a process's arguments are visible to every user of the machine.
"""

import json
import sys

import xllamacpp


def main() -> None:
    options = json.loads(sys.stdin.readline())
    params = xllamacpp.CommonParams()
    params.model.path = options["model"]
    params.model_alias = {options["alias"]}
    params.hostnames = [options["host"]]
    params.port = options["port"]
    params.n_parallel = options["slots"]
    # llama.cpp divides its context evenly among the slots.
    params.n_ctx = options["context"] * options["slots"]
    params.cpuparams.n_threads = options["threads"]
    params.cpuparams_batch.n_threads = options["threads"]
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.warmup = True
    if options["key"] is not None:
        params.api_keys = [options["key"]]
    server = xllamacpp.Server(params)
    print(f"serving {server.listening_address}", flush=True)
    sys.stdin.read()


main()
