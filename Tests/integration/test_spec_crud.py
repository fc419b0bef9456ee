"""The drivers' CRUD specification, run against a standalone. The files are not part of the project: QUORATE_SPEC says where
they are, as a directory that holds `crud/unified`."""
import os
import pathlib

import pytest
from unified import Run, Skip, load, requirement_fails

ROOT = os.environ.get("QUORATE_SPEC")
FILES = sorted(pathlib.Path(ROOT, "crud/unified").glob("*.json")) if ROOT else []


def cases():
    for path in FILES:
        suite = load(path)
        for test in suite["tests"]:
            yield pytest.param(suite, test, id=f"{path.stem}: {test['description']}")


@pytest.mark.skipif(not ROOT, reason="set QUORATE_SPEC to the directory of the drivers' specifications to run them")
@pytest.mark.parametrize("suite, test", list(cases()) if ROOT else [pytest.param(None, None, id="none")])
def test_crud_specification(standalone, standalone_process, suite, test):
    server = {"version": standalone.server_info()["version"], "topology": "single", "parameters": {}}
    for requirements in (suite.get("runOnRequirements"), test.get("runOnRequirements")):
        reason = requirement_fails(requirements, server)
        if reason:
            pytest.skip(reason)
    if "skipReason" in test:
        pytest.skip(test["skipReason"])
    uri = f"mongodb://127.0.0.1:{standalone_process.match.group(1)}/?directConnection=true"
    try:
        Run(standalone, uri, suite, test).execute()
    except Skip as skip:
        pytest.skip(str(skip))
