#!/usr/bin/env bash
# Pin and hash what each image installs: requirements-<service>.lock. Slow (about a minute each).
# `scripts/lock.sh gateway` renews one; --upgrade takes newer releases.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=.venv/lock-tools
services=() options=()
for word in "$@"; do
  [[ $word == -* ]] && options+=("$word") || services+=("$word")
done
((${#services[@]})) || services=(gateway router pii ledger analytics)

[[ -x $tools/bin/pip-compile ]] || {
  "${PYTHON:-.venv/bin/python}" -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet 'pip-tools>=7.4,<8'
}
# The image of the gateway reaches Claude in the clouds too.
declare -A also=([gateway]="--extra bedrock --extra vertex")
for service in "${services[@]}"; do
  echo "locking $service"
  read -ra more <<<"${also[$service]:-}"
  CUSTOM_COMPILE_COMMAND="make lock" "$tools/bin/pip-compile" --quiet --generate-hashes \
    --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
    --extra "$service" "${more[@]}" --output-file "requirements-$service.lock" "${options[@]}" pyproject.toml
done
