"""The drivers' specification of read and write concerns: how they are written down, and what a server makes of them."""
import json
import warnings

import pymongo
import pytest
from pymongo.errors import ConfigurationError, OperationFailure
from pymongo.read_concern import ReadConcern
from unified_format import cases, files, run, without_files
from unified_format.arguments import concern


def entries(directory, name):
    """The tests of `directory/name.json`; one that stands for none without the files."""
    tests = [test for path in files(directory) if path.stem == name for test in json.loads(path.read_text())["tests"]]
    return [pytest.param(test, id=test["description"]) for test in tests] or [pytest.param(None, id="none")]


@pytest.fixture(scope="module")
def client(module_replica_set):
    return module_replica_set.client()


@without_files
@pytest.mark.parametrize("suite, test", list(cases("read-write-concern/operation")))
def test_default_concerns(module_replica_set, client, suite, test):
    run(suite, test, client, module_replica_set.uri, "replicaset")


@without_files
@pytest.mark.parametrize("test", entries("read-write-concern/document", "read-concern"))
def test_read_concern_documents(client, test):
    made = ReadConcern(test["readConcern"].get("level"))
    assert made.document == test["readConcernDocument"]
    assert (not made.document) == test["isServerDefault"]
    assert client.concerns.command("find", "c", readConcern=made.document)["ok"] == 1


@without_files
@pytest.mark.parametrize("test", entries("read-write-concern/document", "write-concern"))
def test_write_concern_documents(client, test):
    if not test["valid"]:
        with pytest.raises((ConfigurationError, ValueError)):
            concern(test["writeConcern"])
        return
    made = concern(test["writeConcern"])
    assert made.document == test["writeConcernDocument"]
    assert made.is_server_default == test["isServerDefault"]
    assert made.acknowledged == test["isAcknowledged"]
    insert = {"insert": "c", "documents": [{}], "writeConcern": made.document}
    try:
        assert client.concerns.command(insert)["ok"] == 1
    except OperationFailure as error:
        # The set has no mode of that name; that it is one was understood.
        assert made.document["w"] == "my_mode"
        assert error.code == 79


def from_uri(uri):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return pymongo.MongoClient(uri, connect=False)


@without_files
@pytest.mark.parametrize("test", entries("read-write-concern/connection-string", "read-concern"))
def test_read_concerns_of_connection_strings(test):
    assert from_uri(test["uri"]).read_concern == ReadConcern(test["readConcern"].get("level"))


@without_files
@pytest.mark.parametrize("test", entries("read-write-concern/connection-string", "write-concern"))
def test_write_concerns_of_connection_strings(test):
    if not test["valid"]:
        # PyMongo warns of values that it drops, and raises for what contradicts itself.
        with pytest.raises((ConfigurationError, ValueError, UserWarning)):
            from_uri(test["uri"])
        return
    assert from_uri(test["uri"]).write_concern == concern(test["writeConcern"])
