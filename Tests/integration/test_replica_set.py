"""Making and configuring a replica set of three processes, as an administrator does; a set in one process."""
import time

import bson
import pytest
from conftest import code_of, eventually, free_port
from pymongo.errors import NotPrimaryError, OperationFailure
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

MAJORITY = WriteConcern("majority", wtimeout=5000)


# Initiating


def test_members_without_a_configuration_are_offline_for_clients(make_replica_set):
    member = make_replica_set(1).members[0]
    hello = member.hello()
    assert hello["isWritablePrimary"] is False
    assert hello["secondary"] is False
    assert hello["isreplicaset"] is True
    assert "setName" not in hello
    assert hello["info"]
    assert code_of(member.command, "replSetGetStatus") == 94
    assert code_of(member.command, "replSetGetConfig") == 94
    with pytest.raises(NotPrimaryError):
        member.direct.test.c.insert_one({})


def test_initiating_makes_a_primary_before_any_election_timeout(make_replica_set):
    replica_set = make_replica_set()
    config = replica_set.config(replica_set.PATIENT)
    started = time.monotonic()
    reply = replica_set.members[0].command({"replSetInitiate": config})
    client = replica_set.client(serverSelectionTimeoutMS=replica_set.SOON * 1000)
    client.test.c.with_options(write_concern=MAJORITY).insert_one({})
    assert time.monotonic() - started < replica_set.SOON
    assert reply["ok"] == 1
    assert isinstance(reply["operationTime"], bson.Timestamp)
    assert set(reply["$clusterTime"]) == {"clusterTime", "signature"}
    assert reply["$clusterTime"]["signature"] == {"hash": b"\0" * 20, "keyId": 0}
    # The initiator stands at once.
    assert replica_set.primary is replica_set.members[0]


def test_a_set_has_a_feature_compatibility_document_from_the_start(replica_set):
    client = replica_set.client()
    document = {"_id": "featureCompatibilityVersion", "version": "8.0"}
    assert "admin" in client.list_database_names()
    for _ in range(2):
        for member in replica_set.members:
            eventually(lambda: list(member.direct.admin["system.version"].find()) == [document])
        replica_set.step_down()


def test_initiating_without_a_configuration_makes_a_set_of_one(make_replica_set):
    replica_set = make_replica_set(1, name="alone")
    reply = replica_set.members[0].command("replSetInitiate")
    assert "configuration" in reply["info2"]
    assert reply["me"] == replica_set.members[0].host
    replica_set.wait_until_healthy()
    config = replica_set.members[0].command("replSetGetConfig")["config"]
    assert config["_id"] == "alone"
    assert [member["host"] for member in config["members"]] == [replica_set.members[0].host]
    assert replica_set.client().test.c.insert_one({}).acknowledged


def test_initiating_refuses_what_cannot_be(make_replica_set):
    replica_set = make_replica_set()
    initiate = replica_set.members[0].command
    hosts = [member.host for member in replica_set.members]

    def code(config):
        return code_of(initiate, {"replSetInitiate": config})

    def members(*rows):
        return {"_id": "rs0", "members": list(rows)}

    assert code({**replica_set.config(), "_id": "other"}) == 93
    assert code(members({"_id": 0, "host": hosts[0]}, {"_id": 1, "host": hosts[0]})) == 93
    assert code(members({"_id": 0, "host": hosts[0]}, {"_id": 0, "host": hosts[1]})) == 93
    assert code(members({"_id": 1, "host": hosts[1]}, {"_id": 2, "host": hosts[2]})) == 93
    assert code(members()) == 93
    assert code(members({"_id": 0, "host": hosts[0]}, {"_id": 1, "host": hosts[1], "hidden": True})) == 93
    assert code(members({"_id": 0, "host": hosts[0]}, {"_id": 1, "host": f"127.0.0.1:{free_port()}"})) == 74
    # Nothing of this has left a trace.
    replica_set.initiate()
    assert code(replica_set.config()) == 23
    assert code_of(replica_set.members[1].command, {"replSetInitiate": replica_set.config()}) == 23


def test_initiating_refuses_a_member_of_another_set(make_replica_set):
    full = make_replica_set(1)
    full.initiate()
    full.client().test.c.insert_one({})
    fresh = make_replica_set(1)
    hosts = [fresh.members[0].host, full.members[0].host]
    config = {"_id": "rs0", "members": [{"_id": i, "host": host} for i, host in enumerate(hosts)]}
    assert code_of(fresh.members[0].command, {"replSetInitiate": config}) == 23


def test_seven_voters_and_fifty_members_are_the_most(make_replica_set):
    replica_set = make_replica_set(1)
    me = {"_id": 0, "host": replica_set.members[0].host}

    def config(count, **fields):
        others = [{"_id": i, "host": f"127.0.0.1:{i}", **fields} for i in range(1, count)]
        return {"_id": "rs0", "members": [me] + others}

    initiate = replica_set.members[0].command
    assert code_of(initiate, {"replSetInitiate": config(8)}) == 93
    assert code_of(initiate, {"replSetInitiate": config(51, votes=0, priority=0)}) == 93


# The configuration


def test_get_config_shows_all_fields(replica_set):
    config = replica_set.members[1].command("replSetGetConfig")["config"]
    assert config["_id"] == "rs0"
    assert config["version"] >= 1
    assert config["term"] >= 1
    assert config["protocolVersion"] == 1
    assert [(m["_id"], m["host"]) for m in config["members"]] == [(m.index, m.host) for m in replica_set.members]
    for member in config["members"]:
        assert set(member) >= {
            "arbiterOnly", "buildIndexes", "hidden", "priority", "tags", "secondaryDelaySecs", "votes"}
    settings = config["settings"]
    assert settings["heartbeatIntervalMillis"] == 200
    assert settings["electionTimeoutMillis"] == 1000
    assert settings["chainingAllowed"] is True
    assert isinstance(settings["replicaSetId"], bson.ObjectId)


def test_reconfig_reaches_every_member(replica_set):
    def change(config):
        config["members"][1]["tags"] = {"dc": "ny"}

    version = replica_set.reconfigure(change)
    eventually(
        lambda: {m["configVersion"] for m in replica_set.status()["members"]} == {version},
        what="one version everywhere")
    for member in replica_set.members:
        eventually(lambda: member.command("replSetGetConfig")["config"]["version"] == version)
    assert replica_set.members[1].hello()["tags"] == {"dc": "ny"}


def test_reconfig_refuses_stale_versions_and_secondaries(replica_set):
    primary = replica_set.primary
    config = primary.command("replSetGetConfig")["config"]
    assert code_of(primary.command, {"replSetReconfig": config}) == 103
    config["version"] += 1
    assert code_of(replica_set.secondaries[0].command, {"replSetReconfig": config}) == 10107
    config["members"].append({"_id": 1, "host": "127.0.0.1:1"})
    assert code_of(primary.command, {"replSetReconfig": config}) in (93, 103)
    config["members"].pop()
    config["members"][0]["secondaryDelaySecs"] = 5
    assert code_of(primary.command, {"replSetReconfig": config}) in (93, 103)


def test_a_forced_reconfig_is_taken_by_a_secondary(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    secondary = replica_set.secondaries[0]
    config = secondary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["settings"]["chainingAllowed"] = False
    assert secondary.command({"replSetReconfig": config, "force": True})["ok"] == 1
    eventually(
        lambda: all(
            m.command("replSetGetConfig")["config"]["settings"]["chainingAllowed"] is False
            for m in replica_set.members),
        what="the forced configuration everywhere")
    assert replica_set.client().test.c.insert_one({}).acknowledged


def test_the_member_of_higher_priority_takes_over(replica_set):
    heir = replica_set.secondaries[0]
    term = replica_set.status()["term"]

    def prefer(config):
        for member in config["members"]:
            member["priority"] = 10 if member["_id"] == heir.index else 1

    replica_set.reconfigure(prefer)
    eventually(lambda: replica_set.find_primary() is heir, 15, "the takeover")
    assert replica_set.status()["term"] > term

    def equal(config):
        for member in config["members"]:
            member["priority"] = 1

    replica_set.reconfigure(equal)


def test_a_member_of_priority_zero_is_passive_and_never_primary(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(m1={"priority": 0}))
    passive = replica_set.members[1]
    hello = passive.hello()
    assert hello["passive"] is True
    assert hello["passives"] == [passive.host]
    assert passive.host not in hello["hosts"]
    # A command that was refused by the protocol, not by the policy.
    with pytest.raises(OperationFailure):
        passive.command("replSetStepUp", 1)
    replica_set.members[0].kill()
    eventually(lambda: replica_set.find_primary() is replica_set.members[2], what="the only candidate")


def test_hidden_members_are_unknown_to_clients_and_vote(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(m2={"priority": 0, "hidden": True}))
    hidden = replica_set.members[2]
    assert hidden.hello()["hidden"] is True
    client = replica_set.client(f"mongodb://{replica_set.members[0].host}/?replicaSet=rs0")
    client.admin.command("ping")
    eventually(lambda: client.nodes == {replica_set.members[0].address, replica_set.members[1].address})
    assert len(replica_set.status()["members"]) == 3
    replica_set.members[0].kill()
    eventually(
        lambda: replica_set.find_primary() is replica_set.members[1], what="a primary elected with the hidden vote")


# One process


def test_a_set_in_one_process_is_a_set_like_any_other(replica_set_in_one_process, database_name):
    client = replica_set_in_one_process.client()
    things = client[database_name].things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_many({"_id": n} for n in range(100))
    reader = things.with_options(read_preference=ReadPreference.SECONDARY)
    cursor = reader.find()
    assert len(list(cursor)) == 100
    eventually(lambda: len(client.nodes) == 3)
    old = client.primary
    assert cursor.address != old
    client.admin.command("replSetStepDown", 10)
    things.insert_one({"_id": 100})
    eventually(lambda: client.primary not in (None, old))
    status = client.admin.command("replSetGetStatus")
    assert sorted(m["stateStr"] for m in status["members"]) == ["PRIMARY", "SECONDARY", "SECONDARY"]


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_a_set_in_one_process_stops_in_good_order(signal_name):
    import signal

    from conftest import ReplicaSetInOneProcess, close_client

    replica_set = ReplicaSetInOneProcess()
    client = replica_set.client()
    client.test.c.insert_one({})
    replica_set.process.signal(getattr(signal, signal_name))
    assert replica_set.process.process.wait(30) == 0
    assert " E " not in replica_set.process.errors()
    close_client(client)
