"""The drivers' specification of retryable writes, run against a replica set."""
import pytest
from unified_format import cases, run, without_files


@pytest.fixture(scope="module")
def client(module_replica_set):
    return module_replica_set.client()


@without_files
@pytest.mark.parametrize("suite, test", list(cases("retryable-writes/unified")))
def test_retryable_writes_specification(module_replica_set, client, suite, test):
    run(suite, test, client, module_replica_set.uri, "replicaset")
