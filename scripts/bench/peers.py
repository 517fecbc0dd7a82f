"""`make bench-peers`: install what `make bench` compares with, in environments of its own."""

import subprocess
import sys
import venv

from scripts.bench.targets import PEERS

LITELLM = "litellm[proxy]==1.91.1"


def main() -> int:
    folder = PEERS / "litellm"
    if not (folder / "bin" / "litellm").exists():
        print(f"installing {LITELLM} into {folder}")
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, LITELLM], check=True)
    print("installed: make bench")
    return 0


if __name__ == "__main__":
    sys.exit(main())
