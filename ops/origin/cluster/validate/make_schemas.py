"""Makes schemas/*.json from the CRDs that the operators' Go modules carry: strict, and without descriptions.

Usage: make_schemas.py      (needs Go, PyYAML and the Go module proxy; run it to move to newer versions)
"""

import json
import pathlib
import subprocess

import yaml

CRDS = [
    # module, version, file in it, name of the schema
    ("github.com/kedacore/keda/v2", "v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml", "ScaledObject"),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "PodMonitor",
    ),
    (
        "sigs.k8s.io/lws",
        "v0.7.0",
        "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
        "LeaderWorkerSet",
    ),
]

# A pod template inside a CRD is a copy of Kubernetes' own schema, half a megabyte: it is checked against the original.
POD_TEMPLATES = {"leaderTemplate", "workerTemplate"}
KEPT = {"type", "required", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}


def strict(schema: dict) -> dict:
    """JSON schema of a structural CRD schema: fields that it does not know are refused, as the API server warns of."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {key: value for key, value in schema.items() if key in KEPT}
    if "properties" in schema:
        result["properties"] = {
            name: {"type": "object"} if name in POD_TEMPLATES else strict(value)
            for name, value in schema["properties"].items()
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = strict(schema["additionalProperties"])
    if "items" in schema:
        result["items"] = strict(schema["items"])
    if schema.get("nullable"):
        result["type"] = [result["type"], "null"]
    return result


def main() -> None:
    folder = pathlib.Path(__file__).parent / "schemas"
    for module, version, file, kind in CRDS:
        download = subprocess.run(
            ["go", "mod", "download", "-json", f"{module}@{version}"], check=True, capture_output=True, cwd="/"
        )
        crd = yaml.safe_load((pathlib.Path(json.loads(download.stdout)["Dir"]) / file).read_text())
        versions = {
            f"{crd['spec']['group']}/{served['name']}": strict(served["schema"]["openAPIV3Schema"])
            for served in crd["spec"]["versions"]
            if served["served"]
        }
        for schema in versions.values():
            # The CRD leaves metadata to the API server.
            schema["properties"]["metadata"] = {"type": "object"}
        source = {"module": module, "version": version, "file": file}
        text = json.dumps({"source": source, "versions": versions}, separators=(",", ":"), sort_keys=True)
        (folder / f"{kind}.json").write_text(text + "\n")


main()
