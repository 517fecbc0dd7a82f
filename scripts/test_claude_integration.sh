#!/usr/bin/env bash
# Check that ModelMuxer answers as Claude tools need it; the exit code is the number of failures.
#   scripts/test_claude_integration.sh [BASE_URL [KEY]]
# `modelmuxer doctor` checks more and names a fix for each fault. Needs curl.
set -uo pipefail

url=${1:-${ANTHROPIC_BASE_URL:-http://localhost:8000}}
url=${url%/}
url=${url%/v1}
key=${2:-${ANTHROPIC_AUTH_TOKEN:-${ANTHROPIC_API_KEY:-sk-test-claude-dev}}}
model=claude-3-5-sonnet-20241022
failed=0
green= red= plain=
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
  green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

ask() { # ask PATH [BODY]: the answer's body; fails on any status but 200
  local body=()
  (($# < 2)) || body=(-H 'content-type: application/json' -d "$2")
  curl -fsS -N -m 60 -H "Authorization: Bearer $key" ${body[@]+"${body[@]}"} "$url$1" 2>&1
}

step() { # step NAME WANTED COMMAND…: passes if the output holds WANTED
  local name=$1 wanted=$2 said
  shift 2
  if said=$("$@") && grep -q -- "$wanted" <<<"$said"; then
    printf '  %sok%s    %s\n' "$green" "$plain" "$name"
  else
    failed=$((failed + 1))
    printf '  %sFAIL%s  %s: %s\n' "$red" "$plain" "$name" "$(tail -n 1 <<<"$said" | cut -c -200)"
  fi
}

question() { # the guide's request; $1 is true to stream
  printf '{"model":"%s","max_tokens":100,"stream":%s,"messages":[{"role":"user","content":"What is the capital of France?"}]}' "$model" "$1"
}

wrong_key() {
  curl -s -o /dev/null -w '%{http_code}' -m 10 -H 'x-api-key: not-a-key' "$url/v1/models"
}

echo "ModelMuxer at $url"
step health '"status":"ok"' ask /health
step models '"type":"model"' ask /v1/models
step answer '"type":"message"' ask /v1/messages "$(question false)"
step stream 'event: message_stop' ask /v1/messages "$(question true)"
step count_tokens '"input_tokens":' ask /v1/messages/count_tokens "$(question false)"
step "wrong key is refused" 401 wrong_key
step budgets '"budgets":' ask /v1/analytics/budgets
step costs '"total_cost":' ask '/v1/analytics/costs?days=7'
if ((failed)); then
  echo "$failed failed; \`modelmuxer doctor\` says why and what to do."
else
  echo "All is well: run claude."
fi
exit "$failed"
