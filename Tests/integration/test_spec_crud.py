"""The drivers' CRUD specification, run against a standalone."""
import pytest
from unified_format import cases, run, without_files


@without_files
@pytest.mark.parametrize("suite, test", list(cases("crud/unified")))
def test_crud_specification(standalone, standalone_process, suite, test):
    uri = f"mongodb://127.0.0.1:{standalone_process.match.group(1)}/?directConnection=true"
    run(suite, test, standalone, uri, "single")
