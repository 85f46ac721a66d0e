"""Checks Kubernetes manifests against the schemas of Kubernetes and of the operators' CRDs, strictly.

Usage: kustomize build FOLDER | validate_manifests.py
Prints the manifests as a JSON list when all are valid; otherwise one line for each problem, and fails.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# The oldest version that the manifests are for: preStop.sleep is on by default since 1.30.
KUBERNETES = "1.30"
SCHEMAS = pathlib.Path(__file__).parent / "schemas"


def problems_of_core(document: dict) -> list[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return []
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]


def problems_of_custom(document: dict, file: pathlib.Path) -> list[str]:
    schema = json.loads(file.read_text())["versions"].get(document["apiVersion"])
    if schema is None:
        return [f"there is no {document['kind']} of {document['apiVersion']}"]
    validator = jsonschema.Draft7Validator(schema)
    found = [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]
    templates = document["spec"].get("leaderWorkerTemplate", {})
    for name in ("leaderTemplate", "workerTemplate"):
        if name in templates:
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": templates[name]}
            found += [f"{name}: {problem}" for problem in problems_of_core(pod)]
    return found


def main() -> None:
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document is not None]
    failed = False
    for document in documents:
        file = SCHEMAS / f"{document['kind']}.json"
        problems = problems_of_custom(document, file) if file.exists() else problems_of_core(document)
        for problem in problems:
            failed = True
            print(f"{document['kind']} {document['metadata']['name']}: {problem}", file=sys.stderr)
    if failed:
        sys.exit(1)
    json.dump(documents, sys.stdout)


main()
