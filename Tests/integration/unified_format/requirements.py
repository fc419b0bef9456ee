"""What a test file asks for, and whether it is to be had here."""
import re

from bson import json_util

OPTIONS = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=False)


# What the tests call a topology, and whether there is such a thing here.
TOPOLOGIES = {
    "single": "a standalone",
    "replicaset": "replica sets",
    "sharded": "sharded clusters",
    "sharded-replicaset": "sharded clusters",
    "load-balanced": "load balancers (not there yet)",
}


class Skip(Exception):
    """The test asks for something that is not to be had here."""


def load(path):
    return json_util.loads(path.read_text(), json_options=OPTIONS)


def snake(name):
    return re.sub(r"([A-Z])", lambda m: "_" + m.group(1).lower(), name)


def version(text):
    return tuple(int(part) for part in text.split("-")[0].split(".")[:3])


def requirement_fails(requirements, server):
    """Why none of the requirements is met; None when one is."""
    if not requirements:
        return None
    reasons = []
    for one in requirements:
        have = (version(server["version"]) + (0, 0))[:3]
        if "minServerVersion" in one and have < (version(one["minServerVersion"]) + (0, 0))[:3]:
            reasons.append(f"needs server {one['minServerVersion']}")
        elif "maxServerVersion" in one and have > (version(one["maxServerVersion"]) + (99, 99))[:3]:
            reasons.append(f"is for servers up to {one['maxServerVersion']}")
        elif "topologies" in one and server["topology"] not in one["topologies"]:
            reasons.append(f"is for {' and '.join(TOPOLOGIES[name] for name in one['topologies'])}")
        elif one.get("serverless") == "require" or one.get("auth") or one.get("csfle"):
            reasons.append("needs serverless, authentication or encryption")
        elif any(server["parameters"].get(k) != v for k, v in one.get("serverParameters", {}).items()):
            reasons.append(f"needs {one['serverParameters']}")
        else:
            return None
    return "; ".join(sorted(set(reasons)))
