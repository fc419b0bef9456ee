"""Runs tests of the drivers' unified test format through PyMongo's public API: what the specifications here need.

The files are not part of the project: QUORATE_SPEC says where they are, as the directory that holds `crud/unified` and
its like."""
import os
import pathlib

import pytest

from .requirements import Skip, load, requirement_fails
from .run import Run

ROOT = os.environ.get("QUORATE_SPEC")
without_files = pytest.mark.skipif(
    not ROOT, reason="set QUORATE_SPEC to the directory of the drivers' specifications to run them")


def files(directory):
    return sorted(pathlib.Path(ROOT, directory).glob("*.json")) if ROOT else []


def cases(directory):
    """Every test of every file of a directory, as the arguments `suite, test`."""
    for path in files(directory):
        suite = load(path)
        for test in suite["tests"]:
            yield pytest.param(suite, test, id=f"{path.stem}: {test['description']}")
    if not ROOT:
        yield pytest.param(None, None, id="none")


def run(suite, test, client, uri, topology):
    """Runs one test against the deployment at `uri`, which `client` may prepare; skips it for a reason it gives."""
    parameters = client.admin.command("getParameter", "*")
    server = {"version": client.server_info()["version"], "topology": topology, "parameters": parameters}
    for requirements in (suite.get("runOnRequirements"), test.get("runOnRequirements")):
        reason = requirement_fails(requirements, server)
        if reason:
            pytest.skip(reason)
    if "skipReason" in test:
        pytest.skip(test["skipReason"])
    try:
        Run(client, uri, suite, test).execute()
    except Skip as skip:
        pytest.skip(str(skip))
