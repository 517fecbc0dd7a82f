"""Check custom resources against the small schemas in .ci/schemas: `custom_resources.py FILE…`.

The operators' own definitions are large and elsewhere; ours hold what the manifests use, closed
to any other field, so that a slip of the pen is found without a cluster.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

SCHEMAS = Path(__file__).parent / "schemas"
# Kubernetes' own groups, which kubernetes-validate knows.
BUILT_IN = {"v1", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"}


def faults(item: dict[str, Any]) -> list[str]:
    """What is wrong with one object, in words; nothing for Kubernetes' own."""
    group, _, version = item["apiVersion"].partition("/")
    if group in BUILT_IN:
        return []
    name = f"{item['kind']} {item['metadata']['name']}"
    file = SCHEMAS / f"{item['kind']}.json"
    if not file.exists():
        return [f"{name}: no schema in .ci/schemas"]
    known = jsonschema_rs.Draft202012Validator(json.loads(file.read_text()))
    return [f"{name}: {path_of(error)}: {error.message}" for error in known.iter_errors(item)]


def path_of(error: jsonschema_rs.ValidationError) -> str:
    return ".".join(str(part) for part in error.instance_path) or "the object"


def main(files: list[str]) -> int:
    texts = [Path(file).read_text() for file in files]
    items = [item for text in texts for item in yaml.safe_load_all(text) if item]
    found = [fault for item in items for fault in faults(item)]
    sys.stdout.write("".join(f"{fault}\n" for fault in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
