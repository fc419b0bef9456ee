"""`configureFailPoint` as drivers' tests use it: whom it meets, what the client sees."""
import contextlib
import time

import pymongo
import pytest
from conftest import eventually
from pymongo.errors import AutoReconnect, OperationFailure


@contextlib.contextmanager
def fail_command(member, mode="alwaysOn", **data):
    member.command("configureFailPoint", "failCommand", mode=mode, data=data)
    try:
        yield
    finally:
        member.command("configureFailPoint", "failCommand", mode="off")


@pytest.fixture
def primary(replica_set):
    return replica_set.primary


def test_only_the_named_application_is_met(primary, database_name):
    with pymongo.MongoClient(*primary.address, directConnection=True, appname="victim") as victim, fail_command(
            primary, failCommands=["find"], errorCode=8, appName="victim"):
        with pytest.raises(OperationFailure) as caught:
            victim[database_name].c.find_one()
        assert caught.value.code == 8
        assert caught.value.details["codeName"] == "UnknownError"
        assert primary.direct[database_name].c.find_one() is None


def test_only_the_named_collection_is_met(primary, database_name):
    database = primary.direct[database_name]
    with fail_command(primary, failCommands=["insert", "find"], errorCode=8, namespace=f"{database_name}.c"):
        database.other.insert_one({})
        assert database.other.count_documents({}) == 1
        with pytest.raises(OperationFailure):
            database.c.insert_one({})
    assert database.c.count_documents({}) == 0


def test_a_closed_connection_is_a_network_error_and_nothing_was_done(primary, database_name):
    with pymongo.MongoClient(*primary.address, directConnection=True, retryWrites=False) as client:
        with fail_command(primary, {"times": 1}, failCommands=["insert"], closeConnection=True):
            with pytest.raises(AutoReconnect):
                client[database_name].c.insert_one({})
            client[database_name].c.insert_one({"_id": 1})
        assert [d["_id"] for d in client[database_name].c.find()] == [1]


def test_a_blocked_connection_takes_its_time(primary, database_name):
    with fail_command(primary, {"times": 1}, failCommands=["ping"], blockConnection=True, blockTimeMS=300):
        began = time.monotonic()
        primary.command("ping")
        assert time.monotonic() - began >= 0.3
    # The second one is not blocked: it would outlast the client's patience.
    with fail_command(primary, {"skip": 1}, failCommands=["ping"], blockConnection=True, blockTimeMS=60_000):
        primary.command("ping")


def test_members_are_met_only_when_it_says_so(replica_set, primary):
    secondary = replica_set.secondaries[0]

    def health():
        return next(m["health"] for m in primary.command("replSetGetStatus")["members"] if m["_id"] == secondary.index)

    with fail_command(secondary, failCommands=["replSetHeartbeat"], errorCode=6):
        time_of = "lastHeartbeatRecv"
        row = primary.command("replSetGetStatus")["members"][secondary.index]
        eventually(lambda: primary.command("replSetGetStatus")["members"][secondary.index][time_of] > row[time_of])
        assert health() == 1
    with fail_command(secondary, failCommands=["replSetHeartbeat"], errorCode=6, failInternalCommands=True):
        eventually(lambda: health() == 0)
    eventually(lambda: health() == 1)


def test_without_test_commands_there_is_no_such_command(start_standalone):
    with pymongo.MongoClient(start_standalone(), directConnection=True) as client:
        assert client.admin.command("getParameter", enableTestCommands=1)["enableTestCommands"] is False
        with pytest.raises(OperationFailure) as caught:
            client.admin.command("configureFailPoint", "failCommand", mode="off")
        assert caught.value.code == 59


@pytest.fixture
def start_standalone():
    from conftest import Process

    started = []

    def start():
        started.append(Process("node", "--port", 0, ready=r"(mongodb://\S+)"))
        return started[-1].match.group(1)

    yield start
    for process in started:
        process.stop()
