"""Making, configuring, watching and breaking a replica set of three processes, as an administrator does."""
import datetime
import time

import bson
import pymongo
import pytest
from conftest import ReplicaSet, eventually, free_port
from pymongo.errors import NotPrimaryError, OperationFailure, ServerSelectionTimeoutError
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

MAJORITY = WriteConcern("majority", wtimeout=5000)


def code_of(call, *arguments, **options):
    """The code of the error that the command is refused with."""
    with pytest.raises((OperationFailure, NotPrimaryError)) as caught:
        call(*arguments, **options)
    return caught.value.details["code"]


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


def test_initiating_makes_a_primary_within_a_fraction_of_a_second(make_replica_set):
    replica_set = make_replica_set()
    config = replica_set.config()
    started = time.monotonic()
    reply = replica_set.members[0].command({"replSetInitiate": config})
    client = replica_set.client()
    client.test.c.with_options(write_concern=MAJORITY).insert_one({})
    assert time.monotonic() - started < 1
    assert reply["ok"] == 1
    assert isinstance(reply["operationTime"], bson.Timestamp)
    assert set(reply["$clusterTime"]) == {"clusterTime", "signature"}
    assert reply["$clusterTime"]["signature"] == {"hash": b"\0" * 20, "keyId": 0}
    # The initiator stands at once.
    assert replica_set.primary is replica_set.members[0]


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


def test_initiating_refuses_a_member_with_data(make_replica_set):
    full = make_replica_set(1)
    full.initiate()
    full.client().test.c.insert_one({})
    fresh = make_replica_set(1)
    config = {"_id": "rs0", "members": [{"_id": 0, "host": fresh.members[0].host}, {"_id": 1, "host": full.members[0].host}]}
    assert code_of(fresh.members[0].command, {"replSetInitiate": config}) in (110, 23)


def test_seven_voters_and_fifty_members_are_the_most(make_replica_set):
    replica_set = make_replica_set(1)
    me = {"_id": 0, "host": replica_set.members[0].host}

    def config(count, **fields):
        return {"_id": "rs0", "members": [me] + [{"_id": i, "host": f"127.0.0.1:{i}", **fields} for i in range(1, count)]}

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
        assert {"arbiterOnly", "buildIndexes", "hidden", "priority", "tags", "secondaryDelaySecs", "votes"} <= set(member)
    settings = config["settings"]
    assert settings["heartbeatIntervalMillis"] == 200
    assert settings["electionTimeoutMillis"] == 1000
    assert settings["chainingAllowed"] is True
    assert isinstance(settings["replicaSetId"], bson.ObjectId)


def reconfigure(replica_set, change, **options):
    primary = replica_set.primary
    config = primary.command("replSetGetConfig")["config"]
    change(config)
    config["version"] += 1
    reply = primary.command({"replSetReconfig": config, **options})
    assert reply["ok"] == 1
    return config["version"]


def test_reconfig_reaches_every_member(replica_set):
    def change(config):
        config["members"][1]["tags"] = {"dc": "ny"}

    version = reconfigure(replica_set, change)
    eventually(
        lambda: {m["configVersion"] for m in replica_set.status()["members"]} == {version}, what="one version everywhere")
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
            m.command("replSetGetConfig")["config"]["settings"]["chainingAllowed"] is False for m in replica_set.members),
        what="the forced configuration everywhere")
    assert replica_set.client().test.c.insert_one({}).acknowledged


def test_the_member_of_higher_priority_takes_over(replica_set):
    heir = replica_set.secondaries[0]
    term = replica_set.status()["term"]

    def prefer(config):
        for member in config["members"]:
            member["priority"] = 10 if member["_id"] == heir.index else 1

    reconfigure(replica_set, prefer)
    eventually(lambda: replica_set.find_primary() is heir, 15, "the takeover")
    assert replica_set.status()["term"] > term

    def equal(config):
        for member in config["members"]:
            member["priority"] = 1

    reconfigure(replica_set, equal)


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
    assert client.nodes == {replica_set.members[0].address, replica_set.members[1].address}
    assert len(replica_set.status()["members"]) == 3
    replica_set.members[0].kill()
    eventually(lambda: replica_set.find_primary() is replica_set.members[1], what="a primary elected with the hidden vote")


# Status


def test_status_has_every_field(replica_set, database_name):
    client = replica_set.client()
    client[database_name].c.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({})
    eventually(lambda: all(m.get("syncSourceHost") for m in replica_set.status()["members"] if m["state"] == 2))
    primary = replica_set.primary
    status = primary.command("replSetGetStatus")
    assert status["set"] == "rs0"
    assert isinstance(status["date"], datetime.datetime)
    assert status["myState"] == 1
    assert status["term"] >= 1
    assert status["heartbeatIntervalMillis"] == 200
    assert status["majorityVoteCount"] == 2
    assert status["writeMajorityCount"] == 2
    assert status["votingMembersCount"] == 3
    assert status["writableVotingMembersCount"] == 3
    for name in ("lastCommittedOpTime", "readConcernMajorityOpTime", "appliedOpTime", "durableOpTime"):
        assert set(status["optimes"][name]) == {"ts", "t"}
        assert isinstance(status["optimes"][name]["ts"], bson.Timestamp)
        assert status["optimes"][name]["t"] == status["term"]
    assert status["syncSourceHost"] == ""
    assert status["syncSourceId"] == -1
    assert status["ok"] == 1
    assert "operationTime" in status and "$clusterTime" in status
    for member in status["members"]:
        assert member["health"] == 1
        assert member["uptime"] >= 0
        assert set(member["optime"]) == {"ts", "t"}
        assert set(member["optimeDurable"]) == {"ts", "t"}
        assert member["optimeDate"].year >= 2024
        assert member["optimeDurableDate"].year >= 2024
        assert member["configVersion"] >= 1
        assert member["configTerm"] == status["term"]
        assert member["stateStr"] == {1: "PRIMARY", 2: "SECONDARY"}[member["state"]]
        if member.get("self"):
            assert member["name"] == primary.host
            assert "lastHeartbeat" not in member and "pingMs" not in member
            assert "infoMessage" in member
        else:
            assert abs((member["lastHeartbeat"] - status["date"]).total_seconds()) < 5
            assert abs((member["lastHeartbeatRecv"] - status["date"]).total_seconds()) < 5
            assert member["pingMs"] >= 0
            assert member["syncingTo"] == member["syncSourceHost"]
            assert member["syncSourceHost"] in {m.host for m in replica_set.members}
        assert ("electionTime" in member) == (member["state"] == 1)
        assert ("electionDate" in member) == (member["state"] == 1)
    secondary = replica_set.secondaries[0].command("replSetGetStatus")
    assert secondary["myState"] == 2
    assert secondary["syncSourceHost"] == secondary["syncingTo"]
    assert secondary["syncSourceHost"] in {m.host for m in replica_set.members}
    assert secondary["syncSourceId"] in {m.index for m in replica_set.members}


def test_a_member_never_heard_of_is_in_startup(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    nobody = f"127.0.0.1:{free_port()}"

    def add(config):
        config["members"].append({"_id": 7, "host": nobody, "votes": 0, "priority": 0})

    reconfigure(replica_set, add)
    row = replica_set.status()["members"][1]
    assert (row["_id"], row["name"]) == (7, nobody)
    assert (row["state"], row["stateStr"]) in ((0, "STARTUP"), (8, "(not reachable/healthy)"))
    assert row["uptime"] == 0
    assert row["optimeDate"] == datetime.datetime(1970, 1, 1)
    assert row["optime"] == {"ts": bson.Timestamp(0, 0), "t": -1}
    assert row["lastHeartbeatRecv"] == datetime.datetime(1970, 1, 1)
    assert row["configVersion"] == -2


def test_a_dead_member_is_shown_as_dead(replica_set):
    victim = replica_set.secondaries[0]
    victim.kill()
    row = eventually(
        lambda: next((m for m in replica_set.status()["members"] if m["_id"] == victim.index and m["health"] == 0), None))
    assert (row["state"], row["stateStr"]) == (8, "(not reachable/healthy)")
    assert row["uptime"] == 0
    assert row["lastHeartbeatMessage"]


# Elections


def test_step_down_raises_the_term_and_the_old_primary_follows(replica_set):
    term = replica_set.status()["term"]
    old = replica_set.step_down()
    assert replica_set.status()["term"] > term
    eventually(lambda: old.hello()["secondary"] and old.hello()["primary"] == replica_set.primary.host)
    # Hand-off: nobody has waited for an election timeout.
    metrics = replica_set.primary.command("replSetGetStatus")["electionCandidateMetrics"]
    assert metrics["lastElectionReason"] == "stepUpRequestSkipDryRun"


def test_step_down_refuses_what_makes_no_sense(replica_set):
    assert code_of(replica_set.secondaries[0].command, "replSetStepDown", 10) == 10107
    primary = replica_set.primary
    assert code_of(primary.command, "replSetStepDown", 1, secondaryCatchUpPeriodSecs=10) == 2
    assert code_of(primary.command, "replSetStepDown", "soon") == 2
    assert code_of(primary.command, "replSetFreeze", 10) == 95


def test_step_down_fails_while_no_secondary_has_caught_up(replica_set, database_name):
    primary = replica_set.primary
    client = replica_set.client(retryWrites=False)
    for secondary in replica_set.secondaries:
        secondary.pause()
    client[database_name].c.with_options(write_concern=WriteConcern(w=1)).insert_one({"_id": 1})
    code = code_of(primary.command, {"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 0})
    assert code in (262, 189, 11602)
    for secondary in replica_set.members:
        secondary.resume()


def test_a_frozen_member_does_not_stand(replica_set):
    frozen, free = replica_set.secondaries
    assert frozen.command("replSetFreeze", 60)["ok"] == 1
    replica_set.primary.kill()
    eventually(lambda: replica_set.find_primary() is free, what="the other member elected")
    assert frozen.command("replSetFreeze", 0)["ok"] == 1


def test_step_up_makes_a_secondary_primary(replica_set):
    heir = replica_set.secondaries[1]
    assert heir.command("replSetStepUp", 1)["ok"] == 1
    eventually(lambda: replica_set.find_primary() is heir)


def test_one_seed_is_enough_to_find_everybody(replica_set):
    everybody = {member.address for member in replica_set.members}
    for member in replica_set.members:
        client = replica_set.client(f"mongodb://{member.host}/?replicaSet=rs0")
        assert client.admin.command("hello")["isWritablePrimary"]
        eventually(lambda: client.nodes == everybody)
        assert client.primary == replica_set.primary.address
    # One live seed out of three is enough as well.
    gone = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    client = replica_set.client(f"mongodb://{gone},{replica_set.members[0].host}/?replicaSet=rs0")
    client.admin.command("ping")
    eventually(lambda: client.nodes == everybody)


def test_without_a_majority_there_are_reads_and_no_writes(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    client = replica_set.client(serverSelectionTimeoutMS=500)
    things = client.test.things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 1})
    survivor = replica_set.members[1]
    for member in replica_set.members:
        if member is not survivor:
            member.kill()
    eventually(lambda: survivor.hello()["secondary"] and "primary" not in survivor.hello())
    with pytest.raises(ServerSelectionTimeoutError):
        things.insert_one({"_id": 2})
    reader = things.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    assert reader.find_one({"_id": 1}) == {"_id": 1}
    assert replica_set.members[1].hello()["secondary"]


def test_a_primary_that_loses_its_majority_steps_down(replica_set):
    primary = replica_set.primary
    for secondary in replica_set.secondaries:
        secondary.pause()
    started = time.monotonic()
    eventually(lambda: primary.hello()["secondary"], 5)
    # The election timeout and a little.
    assert time.monotonic() - started < 3
    for member in replica_set.members:
        member.resume()
    replica_set.wait_until_healthy()


def test_an_old_primary_rejoins_as_secondary_and_copies_the_others(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].things
    things.insert_many({"_id": number} for number in range(1000))
    things.create_index("a")
    old = replica_set.primary
    old.kill()
    things.insert_one({"_id": 1000})
    things.update_many({"_id": {"$lt": 10}}, {"$set": {"a": 1}})
    old.start()
    replica_set.wait_until_healthy()
    assert old.hello()["secondary"]
    replica_set.wait_for_equal_data(database_name)
    assert sorted(index["name"] for index in old.direct[database_name].things.list_indexes()) == ["_id_", "a_1"]


def test_two_kills_in_a_row_lose_nothing(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].things
    written = 0
    for _ in range(2):
        for _ in range(50):
            things.insert_one({"_id": written})
            written += 1
        victim = replica_set.primary
        victim.kill()
        for _ in range(50):
            things.insert_one({"_id": written})
            written += 1
        victim.start()
        replica_set.wait_until_healthy()
    assert [d["_id"] for d in things.find().sort("_id", 1)] == list(range(written))
    replica_set.wait_for_equal_data(database_name)


def test_a_restarted_volatile_member_gets_its_vote_back(replica_set):
    member = replica_set.secondaries[0]
    version = replica_set.status()["members"][0]["configVersion"]
    member.kill()
    member.start()
    replica_set.wait_until_healthy()
    status = replica_set.status()
    assert status["votingMembersCount"] == 3
    assert status["members"][0]["configVersion"] > version
    # And it counts: with the other secondary gone a majority needs it.
    other = next(m for m in replica_set.secondaries if m is not member)
    other.kill()
    replica_set.client().test.votes.with_options(write_concern=MAJORITY).insert_one({})


# Speed


def gap_after(replica_set, collection, blow):
    """Seconds from a blow at the primary to the next acknowledged write."""
    collection.insert_one({})
    started = time.monotonic()
    blow(replica_set.primary)
    collection.insert_one({})
    return time.monotonic() - started


def test_writes_go_on_soon_after_the_primary_was_killed(replica_set, database_name):
    things = replica_set.client()[database_name].things
    gaps = []
    for _ in range(3):
        gaps.append(gap_after(replica_set, things, lambda primary: primary.kill()))
        replica_set.mend()
    assert sorted(gaps)[1] < 0.5, gaps


def test_writes_go_on_soon_after_a_step_down(replica_set, database_name):
    things = replica_set.client()[database_name].things
    gaps = []
    for _ in range(3):
        gaps.append(gap_after(replica_set, things, lambda primary: primary.command("replSetStepDown", 60)))
        replica_set.mend()
    assert sorted(gaps)[1] < 0.5, gaps


def test_writes_go_on_soon_after_the_primary_stopped_in_good_order(replica_set, database_name):
    things = replica_set.client()[database_name].things
    results = []
    gap = gap_after(replica_set, things, lambda primary: results.append(primary.stop()))
    (status, seconds), = results
    assert status == 0
    assert seconds < 1.5
    assert gap < 2


def test_writes_go_on_after_an_election_timeout_when_the_primary_hangs(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].things
    things.insert_one({})
    hung = replica_set.primary
    started = time.monotonic()
    hung.pause()
    fresh = replica_set.client(serverSelectionTimeoutMS=5000, connectTimeoutMS=500, socketTimeoutMS=500)
    new = eventually(lambda: replica_set.find_primary(), 5)
    assert new is not hung
    assert time.monotonic() - started < 2.5
    assert fresh[database_name].things.insert_one({}).acknowledged
    hung.resume()
    eventually(lambda: hung.hello()["secondary"])


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
def test_a_set_in_one_process_stops_within_a_second(signal_name):
    import signal

    from conftest import ReplicaSetInOneProcess

    replica_set = ReplicaSetInOneProcess()
    client = replica_set.client(serverSelectionTimeoutMS=500)
    client.test.c.insert_one({})
    started = time.monotonic()
    replica_set.process.signal(getattr(signal, signal_name))
    assert replica_set.process.process.wait(10) == 0
    assert time.monotonic() - started < 1
    assert " E " not in replica_set.process.errors()
    client.close()
