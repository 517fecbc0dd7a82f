#!/bin/sh
# Create a virtual environment with the fastest Python of this machine, 3.11 or newer: builds of
# one version differ by a third, so each is timed (a fifth of a second). The first found stays
# unless another is a tenth faster. 3.13 and newer only if there is no other: the Redis wheel for
# machines without redis-server is built up to 3.12. PYTHON=/path/to/python3 chooses by hand.
set -eu
target=$1
probe=$(dirname "$0")/python-speed.py
best='' speed='' without_venv=''

consider() { # consider PYTHON NEWEST: keep it if it is clearly faster than the best so far
  path=$(command -v "$1" 2>/dev/null) || return 0
  case $seen in *" $path "*) return 0 ;; esac
  seen="$seen$path "
  if ! answer=$("$path" "$probe" "$2" 2>/dev/null); then
    case $answer in *venv*) without_venv=$path ;; esac
    return 0
  fi
  case $answer in '' | *[!0-9]*) return 0 ;; esac
  if [ -z "$best" ] || [ $((answer * 10)) -lt $((speed * 9)) ]; then
    best=$path speed=$answer
  fi
}

if [ -n "${PYTHON:-}" ]; then
  set -- "$PYTHON"
else
  set -- python3.12 python3.11 python3 /usr/bin/python3 python3.13 python3.14
fi
for newest in 12 99; do
  seen=' '
  for python; do
    [ -n "$best" ] && [ "$newest" = 99 ] || consider "$python" "$newest"
  done
done

if [ -n "$best" ]; then
  echo "creating $target with $("$best" --version) ($best)"
  exec "$best" -m venv "$target"
elif [ -n "$without_venv" ]; then
  echo "$without_venv lacks the venv module; run: apt-get install python3-venv" >&2
else
  echo "Python 3.11 or newer is needed; install it, or name it: make run PYTHON=/path/to/python3" >&2
fi
exit 1
