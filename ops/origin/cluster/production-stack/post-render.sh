#!/bin/sh
# Helm's post-renderer: gives the chart's engines the drain that it has no values for (see kustomization.yaml).
# Helm 4 takes post-renderers as plugins only; with it, pipe `helm template` through this and `kubectl apply -f -`.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$folder/kustomization.yaml" "$work"
cat > "$work/rendered.yaml"
if command -v kustomize >/dev/null 2>&1; then
  kustomize build "$work"
else
  kubectl kustomize "$work"
fi
