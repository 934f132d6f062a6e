#!/usr/bin/env bash
# Installs each extra alone, in an environment of its own, and asks `leanseek doctor` whether it is whole.
#
#     scripts/try_extras.sh [EXTRA ...]        all that users have, by default
#     WHEEL=dist/leanseek-….whl scripts/try_extras.sh serve client
#
# Without WHEEL one is built. For extras that `doctor` does not know, what needs them is imported.
# torch is installed first and from constraints.txt, so that the build for CPUs is taken where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "${WHEEL:-}" ]; then
    cp "$WHEEL" "$work"
else
    "$python" -m pip wheel -q --no-deps -w "$work" .
fi
wheel=$(echo "$work"/*.whl)
declare -A needs=(
    [train]="datasets, leanseek.train.encoder.encoder_training" [serve]="uvicorn, leanseek.serve.application"
    [mcp]=leanseek.serve.agents [client]=leanseek.client [cluster]="ray, fsspec, leanseek.cluster.ray_transport"
    [haystack]=leanseek.integrations.haystack [langchain]=leanseek.integrations.langchain
    [llamaindex]=leanseek.integrations.llamaindex
)
extras=("$@")
if [ ${#extras[@]} = 0 ]; then
    extras=(encode splade offline onnx static decoder files eval report train irds beir mteb serve mcp client cluster
        haystack langchain llamaindex peers)
fi
failed=()
for extra in "${extras[@]}"; do
    rm -rf "$work/venv"
    "$python" -m venv "$work/venv"
    pip=("$work/venv/bin/python" -m pip install -q --disable-pip-version-check --constraint constraints.txt)
    seconds=$SECONDS
    if grep -q "^$extra = .*\(leanseek\[encode\]\|torch\|leanseek\[offline\]\)" pyproject.toml; then
        "${pip[@]}" torch
    fi
    # In a folder of its own, so that what is tried is the installed package and not the clone.
    if "${pip[@]}" "leanseek[$extra] @ file://$wheel" &&
        (cd "$work" && ./venv/bin/python -c "import ${needs[$extra]:-leanseek}") &&
        (cd "$work" && ./venv/bin/leanseek doctor --json | "$work/venv/bin/python" -c "
import json, sys
found = {one['name']: one for one in map(json.loads, sys.stdin)}
one = found.get('$extra')
sys.exit(one is not None and not one['ok'])"); then
        echo "ok  $extra ($((SECONDS - seconds)) s, $(du -sm "$work/venv" | cut -f1) MB)"
    else
        echo "--  $extra"
        failed+=("$extra")
    fi
done
[ ${#failed[@]} = 0 ] || { echo "not whole: ${failed[*]}" >&2; exit 1; }
