#!/bin/sh
# Create a virtual environment with the best Python of this machine: 3.11 or newer. 3.12 and 3.11
# come first, because the Redis wheel for machines without redis-server is built for them.
set -eu
target=$1
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

for python in ${PYTHON:-} python3.12 python3.11 python3 python3.13 python3.14; do
  command -v "$python" >/dev/null 2>&1 || continue
  "$python" -c "$new_enough" 2>/dev/null || continue
  "$python" -c 'import ensurepip, venv' 2>/dev/null || { without_venv=$python; continue; }
  echo "creating $target with $("$python" --version)"
  "$python" -m venv "$target"
  exit
done

if [ -n "${without_venv:-}" ]; then
  echo "$without_venv lacks the venv module; run: apt-get install python3-venv" >&2
else
  echo "Python 3.11 or newer is needed; install it, or name it: make run PYTHON=/path/to/python3" >&2
fi
exit 1
