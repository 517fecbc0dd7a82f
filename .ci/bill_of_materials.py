"""CycloneDX 1.6 bills of materials from hash-locked requirement files."""

import json
import re
import sys
from pathlib import Path
from typing import Any

PIN = re.compile(
    r"^([a-z0-9._-]+)==([^ ;\\]+)[^\n]*\\\n((?: +--hash=sha256:[0-9a-f]{64}[^\n]*\n)+)", re.M
)


def bill(lock: Path) -> dict[str, Any]:
    """Each pinned package is a component, with the hashes of its files."""
    service = lock.stem.removeprefix("requirements-")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": f"modelmuxer-{service}"}},
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "hashes": [
                    {"alg": "SHA-256", "content": digest}
                    for digest in re.findall(r"sha256:([0-9a-f]{64})", hashes)
                ],
            }
            for name, version, hashes in PIN.findall(lock.read_text())
        ],
    }


def main(folder: Path, locks: list[Path]) -> None:
    for lock in locks:
        out = folder / f"sbom-{lock.stem.removeprefix('requirements-')}.json"
        out.write_text(json.dumps(bill(lock), indent=1) + "\n")
        sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
