#!/usr/bin/env bash
# Install this tree with the named extra into .venv, with progress on the terminal.
set -euo pipefail
.venv/bin/python -m pip install --disable-pip-version-check --no-input --editable ".[$1]" |
  sed -u -n -e 's/^Collecting \([^ ]*\).*/  \1/p' -e '/^ERROR/p' -e 's/^Successfully.*/installed/p'
