"""What a node is doing, seen and ended: currentOp, killOp, killSessions, shutdown."""
import threading
import uuid

import bson
import pymongo
import pytest
from conftest import Process, close_client, code_of, eventually


class Waiting:
    """A call on a thread of its own, and what it gave, or the code of the error that it ended with."""

    def __init__(self, call):
        self.outcome = []
        self.thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self.thread.start()

    def _run(self, call):
        try:
            self.outcome.append(call())
        except pymongo.errors.PyMongoError as error:
            self.outcome.append(getattr(error, "code", None) or type(error).__name__)

    def ended_with(self, seconds=10):
        self.thread.join(seconds)
        assert self.outcome, "the call did not end"
        return self.outcome[0]


def operations(client, **command):
    """What is going on, apart from the question."""
    found = client.admin.command("currentOp", **{f"command.{name}": value for name, value in command.items()})["inprog"]
    return [operation for operation in found if "currentOp" not in operation["command"]]


def the_operation(client, **command):
    return eventually(lambda: operations(client, **command), what="the operation")[0]


@pytest.fixture
def lonely_primary(replica_set):
    """A primary whose secondaries are stopped in their tracks: it stays one for a while, and no majority follows.

    It is reconfigured to wait long before it steps down."""
    primary = replica_set.primary

    def patient(config):
        config["settings"]["electionTimeoutMillis"] = 60000

    def fast(config):
        config["settings"]["electionTimeoutMillis"] = 1000

    replica_set.reconfigure(patient)
    replica_set.wait_until_healthy()
    paused = replica_set.secondaries
    for member in paused:
        member.pause()
    yield primary
    for member in paused:
        member.resume()
    replica_set.wait_until_healthy()
    replica_set.reconfigure(fast)
    replica_set.wait_until_healthy()


def test_a_write_that_waits_for_a_majority_is_seen_and_ended(lonely_primary, replica_set, database_name):
    collection = lonely_primary.direct[database_name].orders
    writer = Waiting(
        lambda: collection.with_options(write_concern=pymongo.WriteConcern("majority")).insert_one({"_id": "waits"}))
    found = the_operation(lonely_primary.direct, insert="orders")
    assert found["type"] == "op" and found["active"] and found["op"] == "insert"
    assert found["ns"] == f"{database_name}.orders"
    assert found["desc"].startswith("conn") and found["client"].startswith("127.0.0.1:")
    assert found["secs_running"] >= 0 and found["microsecs_running"] > 0
    assert found["msg"] == "waiting for write concern" and "id" in found["lsid"]
    assert lonely_primary.command("killOp", op=found["opid"])["info"] == "attempting to kill op"
    assert writer.ended_with() == 11601
    assert not operations(lonely_primary.direct, insert="orders")
    assert collection.count_documents({}) == 1  # It is written, and only not confirmed.


def test_long_commands_that_wait_for_a_majority_are_ended_too(lonely_primary, replica_set, database_name):
    collection = lonely_primary.direct[database_name].orders
    collection.with_options(write_concern=pymongo.WriteConcern(1)).insert_many({"_id": i} for i in range(10))
    writer = Waiting(
        lambda: collection.with_options(write_concern=pymongo.WriteConcern("majority")).update_many(
            {}, {"$set": {"seen": True}}))
    found = the_operation(lonely_primary.direct, update="orders")
    lonely_primary.command("killOp", op=found["opid"])
    assert writer.ended_with() == 11601


def test_a_read_that_waits_for_a_majority_is_ended(lonely_primary, replica_set, database_name):
    collection = lonely_primary.direct[database_name].orders
    reply = lonely_primary.direct[database_name].command(
        "insert", "orders", documents=[{"_id": 1}], writeConcern={"w": 1})
    reader = Waiting(
        lambda: lonely_primary.direct[database_name].command(
            "find", "orders", readConcern={"level": "majority", "afterClusterTime": reply["operationTime"]}))
    found = the_operation(lonely_primary.direct, find="orders")
    lonely_primary.command("killOp", op=found["opid"])
    assert reader.ended_with() == 11601


def test_a_long_query_is_seen_and_ended(standalone, database_name):
    collection = standalone[database_name].c
    collection.insert_many({"_id": i, "a": i % 7} for i in range(3000))
    # Every document with every other one: nine million, which takes longer than the test.
    pipeline = [
        {"$lookup": {"from": "c", "let": {"a": "$a"}, "as": "others", "pipeline": [
            {"$match": {"$expr": {"$eq": [{"$mod": ["$a", 5]}, "$$a"]}}}]}},
        {"$count": "n"},
    ]
    reader = Waiting(lambda: list(collection.aggregate(pipeline, comment="the long one")))
    found = the_operation(standalone, aggregate="c")
    assert found["op"] == "command" and found["command"]["comment"] == "the long one"
    standalone.admin.command("killOp", op=found["opid"])
    assert reader.ended_with() == 11601


def test_an_aggregation_that_was_put_off_is_shown_once_and_under_one_opid(standalone):
    """By itself, and by others."""
    admin = standalone.admin
    admin.command(
        "configureFailPoint", "failCommand", mode={"times": 1},
        data={"failCommands": ["aggregate"], "blockConnection": True, "blockTimeMS": 1500})
    asking = Waiting(lambda: list(admin.aggregate([{"$currentOp": {}}], comment="asks for itself")))
    seen = the_operation(standalone, comment="asks for itself")
    assert seen["op"] == "command"
    again = the_operation(standalone, comment="asks for itself")
    assert again["opid"] == seen["opid"]
    shown = [op for op in asking.ended_with() if op["command"].get("comment") == "asks for itself"]
    assert [op["opid"] for op in shown] == [seen["opid"]]


def test_a_tailing_cursor_is_seen_waiting_and_ended(standalone, database_name):
    database = standalone[database_name]
    database.create_collection("tail", capped=True, size=4096)
    database.tail.insert_one({"_id": 1})
    cursor = database.tail.find(cursor_type=pymongo.CursorType.TAILABLE_AWAIT).max_await_time_ms(60000)
    assert cursor.next()["_id"] == 1
    reader = Waiting(cursor.next)
    found = the_operation(standalone, collection="tail")
    assert found["op"] == "getmore" and found["ns"] == f"{database_name}.tail"
    assert found["cursor"]["cursorId"] == cursor.cursor_id and found["cursor"]["awaitData"]
    standalone.admin.command("killOp", op=found["opid"])
    assert reader.ended_with() == 11601
    assert code_of(database.command, "getMore", cursor.cursor_id or bson.Int64(1), collection="tail") == 43


def test_current_op_takes_filters_and_options(standalone, database_name):
    admin = standalone.admin
    asking = admin.command("currentOp", comment="me")["inprog"]
    assert [op["command"]["comment"] for op in asking if "comment" in op.get("command", {})] == ["me"]
    assert all(op["active"] for op in asking)
    idle = pymongo.MongoClient(*standalone.address, appname="the idle one")
    idle.admin.command("ping")
    everybody = admin.command("currentOp", **{"$all": True})["inprog"]
    assert "the idle one" in [op.get("appName") for op in everybody if not op["active"]]
    close_client(idle)
    assert admin.command("currentOp", op="remove")["inprog"] == []
    assert len(admin.command("currentOp", **{"command.currentOp": {"$exists": True}})["inprog"]) == 1
    assert code_of(admin.command, "currentOp", **{"secs_running": {"$nonsense": 1}}) == 2

    def stage(options, collection=1, database=admin):
        return database.command("aggregate", collection, pipeline=[{"$currentOp": options}], cursor={})

    shown = stage({"allUsers": True, "idleConnections": False, "localOps": True})["cursor"]["firstBatch"]
    assert shown[0]["type"] == "op" and isinstance(shown[0]["opid"], int)
    assert code_of(stage, {"allUsers": 1}) == 9
    assert code_of(stage, {"nonsense": True}) == 9
    assert code_of(stage, {}, database=standalone[database_name]) == 73
    standalone[database_name].c.insert_many({"_id": i} for i in range(5))
    cursor = standalone[database_name].c.find(batch_size=2)
    cursor.next()
    cursors = [op for op in stage({"idleCursors": True})["cursor"]["firstBatch"] if op["type"] == "idleCursor"]
    assert cursor.cursor_id in [op["cursor"]["cursorId"] for op in cursors]
    cursor.close()


def test_a_long_command_is_shown_cut_off(standalone):
    shown = standalone.admin.command("currentOp", comment="c" * 100, filler={"$ne": "x" * 5000})["inprog"]
    assert [op["command"].get("comment") for op in shown if "$truncated" in op["command"]] == ["c" * 100]


def test_kill_op_checks_its_arguments(standalone, database_name):
    admin = standalone.admin
    assert code_of(admin.command, "killOp") == 4
    assert code_of(admin.command, "killOp", op="one") == 14
    assert code_of(admin.command, "killOp", op=2**40) == 26823
    assert code_of(admin.command, "killOp", op=1, nonsense=1) == 40415
    assert code_of(standalone[database_name].command, "killOp", op=1) == 13
    assert admin.command("killOp", op=2**31 - 1)["ok"] == 1


def test_kill_sessions_ends_operations_and_cursors(lonely_primary, replica_set, database_name):
    client = lonely_primary.direct
    database = client[database_name]
    database.command("insert", "c", documents=[{"_id": i} for i in range(5)], writeConcern={"w": 1})
    with client.start_session() as session, client.start_session() as other:
        cursors = [database.c.find(batch_size=2, session=one) for one in (session, other)]
        for cursor in cursors:
            cursor.next()
        writer = Waiting(
            lambda: database.command(
                "insert", "c", documents=[{"_id": "waits"}], writeConcern={"w": "majority"}, session=session))
        the_operation(client, insert="c")
        client.admin.command("killSessions", [session.session_id])
        assert writer.ended_with()["writeConcernError"]["code"] == 11601
        assert code_of(list, cursors[0]) == 43
        assert len(list(cursors[1])) == 5


def test_kill_all_sessions_by_user_and_pattern(standalone, database_name):
    database = standalone[database_name]
    database.c.insert_many({"_id": i} for i in range(5))
    admin = standalone.admin

    def is_killed_by(*command):
        with standalone.start_session() as session:
            cursor = database.c.find(batch_size=2, session=session)
            cursor.next()
            admin.command(command[0], command[1](session) if callable(command[1]) else command[1])
            try:
                return len(list(cursor)) != 4
            except pymongo.errors.OperationFailure as error:
                assert error.code == 43
                return True

    nobody = bson.Binary(bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    assert is_killed_by("killAllSessions", [])
    assert not is_killed_by("killAllSessions", [{"user": "u", "db": "d"}])
    assert is_killed_by("killAllSessionsByPattern", [])
    assert is_killed_by("killAllSessionsByPattern", lambda session: [{"lsid": dict(session.session_id)}])
    assert is_killed_by("killAllSessionsByPattern", lambda session: [{"lsid": {**session.session_id, "uid": nobody}}])
    assert is_killed_by("killAllSessionsByPattern", [{"uid": nobody}])
    assert not is_killed_by("killAllSessionsByPattern", [{"uid": bson.Binary(bytes(32))}])
    assert not is_killed_by("killAllSessionsByPattern", [{"lsid": {"id": bson.Binary(uuid.uuid4().bytes, 4)}}])
    assert not is_killed_by("killAllSessionsByPattern", [{"users": [{"user": "u", "db": "d"}]}])
    assert code_of(admin.command, "killAllSessionsByPattern", [{"nonsense": 1}]) == 40415
    assert code_of(admin.command, "killAllSessions", [{"user": "u"}]) == 40414
    assert code_of(admin.command, "killAllSessions", 1) == 14


# Shutdown


def test_a_primary_that_is_shut_down_hands_over_and_its_process_ends(replica_set, database_name):
    primary = replica_set.primary
    client = replica_set.client()
    with pytest.raises(pymongo.errors.AutoReconnect):
        primary.command("shutdown")
    assert primary.process.process.wait(20) == 0
    primary.process = None
    client[database_name].c.insert_one({"_id": 1})
    assert replica_set.find_primary() not in (None, primary)


def test_a_secondary_that_is_shut_down_ends(replica_set):
    secondary = replica_set.secondaries[0]
    with pytest.raises(pymongo.errors.AutoReconnect):
        secondary.command("shutdown", force=True, timeoutSecs=1)
    assert secondary.process.process.wait(20) == 0
    secondary.process = None


def test_a_primary_whose_followers_lag_is_not_shut_down_without_force(lonely_primary, replica_set, database_name):
    lonely_primary.direct[database_name].command("insert", "c", documents=[{"_id": 1}], writeConcern={"w": 1})
    assert code_of(lonely_primary.command, "shutdown", timeoutSecs=0) == 262
    assert lonely_primary.hello()["isWritablePrimary"]


def test_a_lonely_primary_shuts_down_by_force(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    primary = replica_set.primary
    assert code_of(primary.command, "shutdown", timeoutSecs=0) == 262
    with pytest.raises(pymongo.errors.AutoReconnect):
        primary.command("shutdown", force=True)
    assert primary.process.process.wait(20) == 0


def test_shutdown_checks_its_arguments(standalone, database_name):
    assert code_of(standalone[database_name].command, "shutdown") == 13
    assert code_of(standalone.admin.command, "shutdown", force="yes") == 14
    assert code_of(standalone.admin.command, "shutdown", timeoutSecs=-1) == 2
    assert code_of(standalone.admin.command, "shutdown", nonsense=1) == 40415
    assert standalone.admin.command("ping")["ok"] == 1


def test_the_last_member_that_is_shut_down_ends_a_set_in_one_process():
    process = Process("up", "replica-set", "--members", 1, "--port", 0, ready=r"ready: (mongodb://\S+)")
    client = pymongo.MongoClient(process.match.group(1))
    with pytest.raises(pymongo.errors.AutoReconnect):
        client.admin.command("shutdown", force=True)
    assert process.process.wait(20) == 0
    close_client(client)
