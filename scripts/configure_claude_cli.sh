#!/usr/bin/env bash
# Point Claude tools at ModelMuxer for every new shell: the four names, between two marker lines
# of ~/.bashrc (and ~/.zshrc, config.fish where they exist). --remove takes them out again.
#   scripts/configure_claude_cli.sh [--base-url URL] [--api-key KEY] [--remove]
# `modelmuxer connect claude` does the same by Claude Code's own settings file.
set -euo pipefail

begin='# >>> modelmuxer >>>'
end='# <<< modelmuxer <<<'
url=http://localhost:8000
key=sk-test-claude-dev
remove=

usage() {
  sed -n '2,5s/^# \{0,1\}//p' "$0"
}

while (($#)); do
  case $1 in
    --base-url) url=${2:?--base-url needs an address} && shift 2 ;;
    --api-key) key=${2:?--api-key needs a key} && shift 2 ;;
    --remove) remove=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    *) echo "no such option: $1" >&2 && usage >&2 && exit 2 ;;
  esac
done
url=${url%/}
url=${url%/v1}
[[ $url =~ ^https?:// ]] || { echo "--base-url: '$url' is no address such as http://localhost:8000" >&2 && exit 2; }
[[ $key =~ ^[[:graph:]]+$ && $key != *[\'\"\\\$\`]* ]] || { echo "--api-key: use letters, digits and - _ ." >&2 && exit 2; }

without_block() { # the file without our lines, byte for byte
  awk -v begin="$begin" -v end="$end" \
    '$0 == begin { inside = 1 } !inside { print } $0 == end { inside = 0 }' "$1"
}

block() { # our lines in the words of a shell
  local form=$1
  echo "$begin"
  # shellcheck disable=SC2059  the form is one of two below
  printf "$form" ANTHROPIC_BASE_URL "$url" ANTHROPIC_API_URL "$url" \
    ANTHROPIC_API_KEY "$key" ANTHROPIC_AUTH_TOKEN "$key"
  echo "$end"
}

change() { # change FILE FORM
  local file=$1 form=$2 new
  new=$(mktemp "$file.XXXXXX")
  without_block "$file" >"$new"
  if [[ -z $remove ]]; then
    [[ ! -s $new || -z $(tail -c 1 "$new") ]] || echo >>"$new"
    block "$form" >>"$new"
  fi
  cat "$new" >"$file" # keeps mode, owner and links
  rm "$new"
  echo "$file"
}

fish=${XDG_CONFIG_HOME:-$HOME/.config}/fish/config.fish
[[ -n $remove ]] || touch "$HOME/.bashrc"
for file in "$HOME/.bashrc" "$HOME/.zshrc"; do
  [[ ! -f $file ]] || change "$file" "export %s='%s'\n"
done
[[ ! -f $fish ]] || change "$fish" "set -gx %s '%s'\n"
if [[ -n $remove ]]; then
  echo "ModelMuxer is removed from new shells."
else
  echo "Claude tools of new shells use $url; for this one: . scripts/activate_claude_modelmuxer.sh"
fi
