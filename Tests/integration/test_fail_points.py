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


# Monitoring


class Heartbeats(pymongo.monitoring.ServerHeartbeatListener):
    """What a client's monitors have seen: `None` for a good answer, else the error."""

    def __init__(self):
        self.outcomes = []

    def started(self, event):
        pass

    def succeeded(self, event):
        self.outcomes.append(None)

    def failed(self, event):
        self.outcomes.append(event.reply)

    @property
    def failures(self):
        return [outcome for outcome in self.outcomes if outcome is not None]


@contextlib.contextmanager
def monitored(member, name, **options):
    heartbeats = Heartbeats()
    options = {"heartbeatFrequencyMS": 500, "appname": name, "event_listeners": [heartbeats], **options}
    with pymongo.MongoClient(*member.address, directConnection=True, **options) as client:
        client.admin.command("ping")
        yield client, heartbeats


@pytest.mark.parametrize("mode", ["stream", "poll"])
def test_a_monitor_meets_an_error(primary, mode):
    with monitored(primary, "watched", serverMonitoringMode=mode) as (_, heartbeats):
        with monitored(primary, "another", serverMonitoringMode=mode) as (_, others), fail_command(
                primary, failCommands=["hello", "isMaster"], errorCode=91, appName="watched"):
            eventually(lambda: heartbeats.failures)
            before = len(others.outcomes)
            eventually(lambda: len(others.outcomes) > before + 1)
        assert heartbeats.failures[0].details["code"] == 91
        assert not others.failures
        seen = len(heartbeats.outcomes)
        eventually(lambda: None in heartbeats.outcomes[seen:])


@pytest.mark.parametrize("mode", ["stream", "poll"])
def test_a_monitor_meets_a_closed_connection(primary, mode):
    with monitored(primary, "watched", serverMonitoringMode=mode) as (client, heartbeats):
        # Not a number of times: the connection that measures round trips takes some, too.
        with fail_command(primary, failCommands=["hello", "isMaster"], closeConnection=True, appName="watched"):
            eventually(lambda: heartbeats.failures)
        assert isinstance(heartbeats.failures[0], AutoReconnect)
        eventually(lambda: client.admin.command("ping"))


@pytest.mark.parametrize("mode", ["stream", "poll"])
def test_a_monitor_is_blocked(primary, mode):
    with monitored(primary, "watched", serverMonitoringMode=mode, connectTimeoutMS=300) as (_, heartbeats):
        with fail_command(primary, failCommands=["hello", "isMaster"], blockConnection=True,
                          blockTimeMS=5000, appName="watched"):
            eventually(lambda: heartbeats.failures)
        assert isinstance(heartbeats.failures[0], pymongo.errors.NetworkTimeout)


def test_the_first_hello_of_a_connection_is_met_by_its_name(primary):
    with fail_command(primary, failCommands=["hello", "isMaster"], errorCode=91, appName="newcomer"):
        client = pymongo.MongoClient(
            *primary.address, directConnection=True, appname="newcomer", serverSelectionTimeoutMS=300)
        with pytest.raises(pymongo.errors.ServerSelectionTimeoutError), client:
            client.admin.command("ping")
        primary.command("ping")


# Times


def test_max_time_is_over_at_once_or_never(primary, database_name):
    collection = primary.direct[database_name].c
    collection.insert_many({"_id": i} for i in range(300))
    cursor = collection.find().max_time_ms(60000)
    cursor.next()
    primary.command("configureFailPoint", "maxTimeAlwaysTimeOut", mode="alwaysOn")
    try:
        with pytest.raises(pymongo.errors.ExecutionTimeout):
            collection.find().max_time_ms(60000).next()
        with pytest.raises(pymongo.errors.ExecutionTimeout):
            list(cursor)
        assert len(list(collection.find())) == 300
    finally:
        primary.command("configureFailPoint", "maxTimeAlwaysTimeOut", mode="off")
    primary.command("configureFailPoint", "maxTimeNeverTimeOut", mode="alwaysOn")
    try:
        blocked = {"failCommands": ["count"], "blockConnection": True, "blockTimeMS": 50}
        with fail_command(primary, {"times": 1}, **blocked):
            assert primary.direct[database_name].command("count", "c", maxTimeMS=10)["n"] == 300
        with fail_command(primary, {"times": 1}, **blocked):
            primary.command("configureFailPoint", "maxTimeNeverTimeOut", mode="off")
            with pytest.raises(pymongo.errors.ExecutionTimeout):
                primary.direct[database_name].command("count", "c", maxTimeMS=10)
    finally:
        primary.command("configureFailPoint", "maxTimeNeverTimeOut", mode="off")


@pytest.mark.parametrize("name", ["stopReplProducer", "rsSyncApplyStop"])
def test_a_secondary_stops_following_and_goes_on(replica_set, database_name, name):
    primary = replica_set.primary
    secondary = replica_set.secondaries[0]
    client = replica_set.client()
    collection = client[database_name].c
    collection.with_options(write_concern=pymongo.WriteConcern(3)).insert_one({"_id": 1})
    secondary.command("configureFailPoint", name, mode="alwaysOn")
    try:
        collection.with_options(write_concern=pymongo.WriteConcern(2)).insert_one({"_id": 2})
        with pytest.raises(pymongo.errors.WTimeoutError) as caught:
            collection.with_options(write_concern=pymongo.WriteConcern(3, wtimeout=300)).insert_one({"_id": 3})
        assert caught.value.details["errInfo"]["writeConcern"] == {
            "w": 3, "wtimeout": 300, "provenance": "clientSupplied"}
        assert secondary.direct[database_name].c.count_documents({}) == 1
    finally:
        secondary.command("configureFailPoint", name, mode="off")
    collection.with_options(write_concern=pymongo.WriteConcern(3, wtimeout=10000)).insert_one({"_id": 4})
    assert secondary.direct[database_name].c.count_documents({}) == 4
    assert replica_set.find_primary() is primary
