"""A probe of vLLM that does not believe /health, which says 200 while the GPU is gone.

Usage: probe.py startup|ready|alive    (VLLM_API_KEY: the engine's key; PROBE_URL, PROBE_STATE: for tests)

startup  the models are listed.
ready    /health says yes (vLLM says 503 while it drains), and tokens come.
alive    tokens come, judged with more patience.

Tokens come: an engine with work must have made progress since some time ago; one without work is given a request of
one token. A busy engine is not asked, since the request would only wait in the queue with the others.
"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("PROBE_URL", "http://127.0.0.1:8000")
STATE = os.environ.get("PROBE_STATE", "/tmp")

# A prompt counts when it has been read to its end: a long one alone in the engine shows no progress for as long.
STUCK_SECONDS = {"ready": 60, "alive": 300}
# Below the probes' timeoutSeconds, so that the message below is seen.
CALL_SECONDS = 12
BUSY = ("vllm:num_requests_running", "vllm:num_requests_waiting")
PROGRESS = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")


def call(route: str, body: dict | None = None) -> str:
    headers = {"Authorization": "Bearer " + os.environ.get("VLLM_API_KEY", ""), "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + route, data, headers)
    with urllib.request.urlopen(request, timeout=CALL_SECONDS) as response:
        return response.read().decode()


def total(metrics: str, names: tuple[str, ...]) -> float:
    lines = re.findall(r"^([\w:]+)(?:\{.*\})?\s+(\S+)$", metrics, re.MULTILINE)
    return sum(float(value) for name, value in lines if name in names)


def stuck_seconds(mode: str, progress: float) -> float:
    """Seconds for which a working engine has shown the same progress, from one run of the probe to the next."""
    path = os.path.join(STATE, f"probe-{mode}.json")
    now = time.time()
    try:
        with open(path) as file:
            seen = json.load(file)
    except (OSError, ValueError):
        seen = {}
    if seen.get("progress") != progress:
        seen = {"progress": progress, "since": now}
        with open(path + ".new", "w") as file:
            json.dump(seen, file)
        os.replace(path + ".new", path)
    return now - seen["since"]


def check(mode: str) -> None:
    models = json.loads(call("/v1/models"))["data"]
    if mode == "startup":
        return
    if mode == "ready":
        call("/health")
    metrics = call("/metrics")
    progress = total(metrics, PROGRESS)
    if total(metrics, BUSY) == 0:
        call("/v1/completions", {"model": models[0]["id"], "prompt": "a", "max_tokens": 1})
        return
    seconds = stuck_seconds(mode, progress)
    if seconds > STUCK_SECONDS[mode]:
        raise RuntimeError(f"requests are running, and no token has come for {seconds:.0f} s")


def main() -> None:
    try:
        check(sys.argv[1])
    except (urllib.error.URLError, OSError, RuntimeError, ValueError, LookupError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


main()
