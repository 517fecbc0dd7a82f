# Point Claude tools at ModelMuxer in this shell only; source it (bash, zsh):
#   . scripts/activate_claude_modelmuxer.sh [BASE_URL [KEY]]
# `deactivate_claude_modelmuxer` puts back what the four names held before.

deactivate_claude_modelmuxer() {
  eval "$_modelmuxer_before"
  unset _modelmuxer_before
  unset -f deactivate_claude_modelmuxer
  echo "Claude tools of this shell use what they used before."
}

_modelmuxer_quoted() { # a value as one word of the shell
  printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

_modelmuxer_keep() { # how to put one name back
  if eval "[ -n \"\${$1+set}\" ]"; then
    eval "printf 'export %s=%s\n' \"$1\" \"\$(_modelmuxer_quoted \"\$$1\")\""
  else
    printf 'unset %s\n' "$1"
  fi
}

if [ -z "${_modelmuxer_before-}" ]; then
  _modelmuxer_before=$(
    _modelmuxer_keep ANTHROPIC_BASE_URL
    _modelmuxer_keep ANTHROPIC_API_URL
    _modelmuxer_keep ANTHROPIC_API_KEY
    _modelmuxer_keep ANTHROPIC_AUTH_TOKEN
  )
fi
unset -f _modelmuxer_keep _modelmuxer_quoted

_modelmuxer_url=${1:-http://localhost:8000}
_modelmuxer_url=${_modelmuxer_url%/}
export ANTHROPIC_BASE_URL=${_modelmuxer_url%/v1}
export ANTHROPIC_API_URL=$ANTHROPIC_BASE_URL
export ANTHROPIC_API_KEY=${2:-sk-test-claude-dev}
export ANTHROPIC_AUTH_TOKEN=$ANTHROPIC_API_KEY
unset _modelmuxer_url
echo "Claude tools of this shell use $ANTHROPIC_BASE_URL; undo: deactivate_claude_modelmuxer"
