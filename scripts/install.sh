#!/usr/bin/env bash
# Install this tree with the named extra into .venv, with progress on the terminal. Python compiles
# a module at its first import, which is cheaper than compiling all that no service ever imports.
set -euo pipefail
.venv/bin/python -m pip install --disable-pip-version-check --no-input --no-compile \
  --editable ".[$1]" |
  while IFS= read -r line; do
    case $line in
      "Collecting "*) line=${line#Collecting } && echo "  ${line%% *}" ;;
      "Installing collected packages"*) echo "unpacking" ;;
      "Successfully installed"*) echo "installed" ;;
      ERROR*) echo "$line" ;;
    esac
  done
