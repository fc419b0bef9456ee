"""What those get who name no concern: setDefaultRWConcern, getLastErrorDefaults, the implicit default; tag modes."""
import datetime

import bson
import pytest
from conftest import code_of, eventually
from pymongo.errors import OperationFailure, WTimeoutError
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern


@pytest.fixture
def fresh_set(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    return replica_set


def defaults_of(member):
    reply = member.command("getDefaultRWConcern")
    return reply["defaultReadConcern"], reply["defaultWriteConcern"]


@pytest.mark.parametrize("command", [
    {"insert": "c", "documents": [{}]},
    {"update": "c", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]},
    {"delete": "c", "deletes": [{"q": {}, "limit": 0}]},
    {"findAndModify": "c", "query": {}, "remove": True},
    {"create": "d"},
    {"createIndexes": "c", "indexes": [{"key": {"a": 1}, "name": "a_1"}]},
], ids=lambda command: next(iter(command)))
def test_writes_take_no_read_concern_but_local(replica_set, database_name, command):
    database = replica_set.client()[database_name]
    for level in ("majority", "available", "linearizable", "snapshot"):
        assert code_of(database.command, {**command, "readConcern": {"level": level}}) == 72, level
    assert code_of(database.command, {**command, "readConcern": {"level": "most"}}) == 2
    assert database.list_collection_names() == []
    assert database.command({**command, "readConcern": {"level": "local"}})["ok"] == 1
    database.client.drop_database(database_name)
    assert database.command({**command, "readConcern": {}})["ok"] == 1


def provenance(collection, **options):
    """Where the concern came from that a write waited for in vain."""
    command = {"insert": collection.name, "documents": [{}], **options}
    error = collection.database.command(command)["writeConcernError"]
    assert error["code"] == 64 and error["codeName"] == "WriteConcernTimeout"
    assert error["errInfo"]["wtimeout"] is True
    return error["errInfo"]["writeConcern"]


def test_the_implicit_defaults(fresh_set):
    reply = fresh_set.primary.command("getDefaultRWConcern")
    assert reply["defaultReadConcern"] == {"level": "local"}
    assert reply["defaultWriteConcern"] == {"w": "majority", "wtimeout": 0}
    assert reply["defaultReadConcernSource"] == reply["defaultWriteConcernSource"] == "implicit"
    assert "updateOpTime" not in reply
    assert isinstance(reply["localUpdateWallClockTime"], datetime.datetime)


def test_a_default_holds_at_every_member_and_outlives_the_primary(fresh_set):
    reply = fresh_set.primary.command({
        "setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 3, "wtimeout": 300},
        "defaultReadConcern": {"level": "majority"}})
    assert reply["defaultWriteConcern"] == {"w": 3, "wtimeout": 300}
    assert reply["defaultReadConcern"] == {"level": "majority"}
    assert reply["defaultWriteConcernSource"] == reply["defaultReadConcernSource"] == "global"
    assert isinstance(reply["updateOpTime"], bson.Timestamp)
    assert isinstance(reply["updateWallClockTime"], datetime.datetime)
    expected = ({"level": "majority"}, {"w": 3, "wtimeout": 300})
    for member in fresh_set.members:
        eventually(lambda: defaults_of(member) == expected)
    client = fresh_set.client(retryWrites=False)
    stored = client.config.settings.find_one({"_id": "ReadWriteConcernDefaults"})
    assert stored["defaultWriteConcern"]["w"] == 3
    frozen = fresh_set.secondaries[0]
    frozen.pause()
    assert provenance(client.test.things) == {"w": 3, "wtimeout": 300, "provenance": "customDefault"}
    # What a client says itself goes first; who says nothing of w gets the default's.
    client.test.things.with_options(write_concern=WriteConcern(w=2, wtimeout=5000)).insert_one({})
    assert provenance(client.test.things, writeConcern={"w": 3, "wtimeout": 50}) == {
        "w": 3, "wtimeout": 50, "provenance": "clientSupplied"}
    assert provenance(client.test.things, writeConcern={"wtimeout": 50})["w"] == 3
    frozen.resume()
    fresh_set.primary.kill()
    fresh_set.mend()
    for member in fresh_set.members:
        eventually(lambda: defaults_of(member) == expected)


def test_the_default_read_concern_is_honoured(fresh_set):
    primary = fresh_set.primary
    client = fresh_set.client(retryWrites=False)
    things = client.test.things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 1})
    primary.command({"setDefaultRWConcern": 1, "defaultReadConcern": {"level": "majority"}})
    for secondary in fresh_set.secondaries:
        secondary.pause()
    things.with_options(write_concern=WriteConcern(w=1)).insert_one({"_id": 2})
    direct = primary.direct.test

    def found(**options):
        return [d["_id"] for d in direct.command({"find": "things", **options})["cursor"]["firstBatch"]]

    assert found() == [1]
    assert found(readConcern={"level": "local"}) == [1, 2]
    assert direct.command({"count": "things"})["n"] == 1
    assert direct.command({"distinct": "things", "key": "_id"})["values"] == [1]
    pipeline = direct.command({"aggregate": "things", "pipeline": [], "cursor": {}})
    assert [d["_id"] for d in pipeline["cursor"]["firstBatch"]] == [1]
    for member in fresh_set.members:
        member.resume()
    fresh_set.wait_until_healthy()
    # An empty document takes the default back.
    fresh_set.primary.command({"setDefaultRWConcern": 1, "defaultReadConcern": {}})
    assert defaults_of(fresh_set.primary)[0] == {"level": "local"}


@pytest.mark.parametrize("arguments, code", [
    ({}, 2),
    ({"defaultWriteConcern": {"w": 0}}, 2),
    ({"defaultWriteConcern": {"j": True}}, 2),
    ({"defaultWriteConcern": {"w": 4}}, 100),
    ({"defaultWriteConcern": {"w": "nowhere"}}, 79),
    ({"defaultWriteConcern": {"w": 1, "colour": "red"}}, 9),
    ({"defaultWriteConcern": {"w": -1}}, 9),
    ({"defaultWriteConcern": "majority"}, 14),
    ({"defaultReadConcern": {"level": "snapshot"}}, 2),
    ({"defaultReadConcern": {"level": "linearizable"}}, 2),
    ({"defaultReadConcern": {"level": "sure"}}, 2),
    ({"defaultReadConcern": {"afterClusterTime": bson.Timestamp(1, 1)}}, 2),
    ({"defaultReadConcern": "local"}, 14),
    ({"defaultColour": "red"}, 40415),
])
def test_a_default_that_cannot_be_is_refused(replica_set, arguments, code):
    assert code_of(replica_set.primary.command, {"setDefaultRWConcern": 1, **arguments}) == code
    assert defaults_of(replica_set.primary) == ({"level": "local"}, {"w": "majority", "wtimeout": 0})


def test_defaults_are_set_at_the_primary_of_a_set(replica_set, standalone):
    assert code_of(
        replica_set.secondaries[0].command, {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}}) == 10107
    assert code_of(standalone.admin.command, {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}}) == 20
    assert code_of(standalone.admin.command, "getDefaultRWConcern") == 20


def test_a_default_write_concern_cannot_be_taken_back(fresh_set):
    primary = fresh_set.primary
    assert primary.command({"setDefaultRWConcern": 1, "defaultWriteConcern": {}, "defaultReadConcern": {}})["ok"] == 1
    primary.command({"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}})
    assert code_of(primary.command, {"setDefaultRWConcern": 1, "defaultWriteConcern": {}}) == 20
    assert defaults_of(primary)[1] == {"w": 1, "wtimeout": 0}


def test_defaults_of_the_configuration_are_obeyed(fresh_set):
    client = fresh_set.client(retryWrites=False)
    fresh_set.reconfigure(lambda config: config["settings"].update(getLastErrorDefaults={"w": 3, "wtimeout": 200}))
    reply = fresh_set.primary.command("getDefaultRWConcern")
    assert reply["defaultWriteConcern"] == {"w": 3, "wtimeout": 200}
    assert reply["defaultWriteConcernSource"] == "getLastErrorDefaults"
    client.test.things.insert_one({})
    frozen = fresh_set.secondaries[0]
    frozen.pause()
    assert provenance(client.test.things) == {"w": 3, "wtimeout": 200, "provenance": "getLastErrorDefaults"}
    with pytest.raises(WTimeoutError):
        client.test.things.insert_one({})
    frozen.resume()
    # Two defaults would contradict one another.
    with pytest.raises(OperationFailure) as caught:
        fresh_set.primary.command({"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}})
    assert caught.value.code == 20 and "getLastErrorDefaults" in caught.value.details["errmsg"]
    fresh_set.reconfigure(lambda config: config["settings"].pop("getLastErrorDefaults"))
    fresh_set.primary.command({"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}})
    config = fresh_set.primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["settings"]["getLastErrorDefaults"] = {"w": 2}
    with pytest.raises(OperationFailure) as caught:
        fresh_set.primary.command({"replSetReconfig": config})
    assert caught.value.code == 103 and "setDefaultRWConcern" in caught.value.details["errmsg"]


def test_an_arbiter_that_would_weaken_the_default_needs_a_default_first(make_replica_set):
    replica_set = make_replica_set(3)
    arbiter = replica_set.members.pop()
    replica_set.initiate()
    replica_set.members.append(arbiter)
    primary = replica_set.primary
    assert defaults_of(primary)[1]["w"] == "majority"
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["members"].append({"_id": 2, "host": arbiter.host, "arbiterOnly": True})
    with pytest.raises(OperationFailure) as caught:
        primary.command({"replSetReconfig": config})
    assert caught.value.code == 103 and "setDefaultRWConcern" in caught.value.details["errmsg"]
    primary.command({"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": "majority", "wtimeout": 1000}})
    primary.command({"replSetReconfig": config})
    replica_set.wait_until_healthy()
    assert arbiter.hello()["arbiterOnly"] is True
    assert defaults_of(replica_set.primary)[1] == {"w": "majority", "wtimeout": 1000}


def test_a_set_with_an_arbiter_of_three_defaults_to_one(make_replica_set):
    replica_set = make_replica_set(3)
    replica_set.initiate(replica_set.config(m2={"arbiterOnly": True}))
    reply = replica_set.primary.command("getDefaultRWConcern")
    assert reply["defaultWriteConcern"] == {"w": 1, "wtimeout": 0}
    assert reply["defaultWriteConcernSource"] == "implicit"


def test_a_mode_may_be_the_default(make_replica_set):
    replica_set = make_replica_set(3)
    config = replica_set.config(
        {"getLastErrorModes": {"twoPlaces": {"dc": 2}}},
        m0={"tags": {"dc": "ny"}}, m1={"tags": {"dc": "ny"}, "priority": 0}, m2={"tags": {"dc": "sf"}, "priority": 0})
    replica_set.initiate(config)
    primary = replica_set.primary
    primary.command({"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": "twoPlaces", "wtimeout": 300}})
    client = replica_set.client(retryWrites=False)
    far = replica_set.members[2]
    client.test.things.insert_one({"_id": 1})
    assert far.direct.test.things.with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED).find_one() == {"_id": 1}
    far.pause()
    assert provenance(client.test.things) == {"w": "twoPlaces", "wtimeout": 300, "provenance": "customDefault"}
    far.resume()
    # A mode that a default names stays.
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["settings"]["getLastErrorModes"] = {}
    assert code_of(primary.command, {"replSetReconfig": config}) == 103
