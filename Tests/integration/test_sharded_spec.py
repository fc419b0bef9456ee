"""The drivers' specifications of CRUD, retryable writes and concerns, run through a router."""
import pymongo
import pytest
from conftest import Process
from unified_format import cases, run, without_files


@pytest.fixture(scope="module")
def process():
    made = Process(
        "up", "sharded", "--shards", 2, "--members", 3, "--port", 0, "--set", "enableTestCommands=1",
        ready=r"ready: (mongodb://\S+)")
    yield made
    assert made.process.poll() is None, f"the cluster died: {made.errors()}"
    made.kill()


@pytest.fixture(scope="module")
def client(process):
    with pymongo.MongoClient(process.match.group(1)) as made:
        yield made


@without_files
@pytest.mark.parametrize("suite, test", list(cases("crud/unified")))
def test_crud_specification(process, client, suite, test):
    run(suite, test, client, process.match.group(1), "sharded")


@without_files
@pytest.mark.parametrize("suite, test", list(cases("retryable-writes/unified")))
def test_retryable_writes_specification(process, client, suite, test):
    run(suite, test, client, process.match.group(1), "sharded")


@without_files
@pytest.mark.parametrize("suite, test", list(cases("read-write-concern/operation")))
def test_default_concerns(process, client, suite, test):
    run(suite, test, client, process.match.group(1), "sharded")
