#!/usr/bin/env bash
# Install this tree with the named extra into .venv, with progress on the terminal. Python compiles
# a module at its first import, which is cheaper than compiling all that no service ever imports.
set -euo pipefail
.venv/bin/python -m pip install --disable-pip-version-check --no-input --no-compile --editable ".[$1]" |
  sed -u -n -e 's/^Collecting \([^ ]*\).*/  \1/p' -e '/^ERROR/p' \
    -e 's/^Installing collected packages.*/unpacking/p' -e 's/^Successfully.*/installed/p'
