"""What replSetGetStatus says of the members."""
import datetime

import bson
from conftest import eventually, free_port
from pymongo.write_concern import WriteConcern


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


def test_dates_of_entries_are_those_of_the_oplog(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].c.with_options(write_concern=WriteConcern(w=3, wtimeout=5000))
    for _ in range(3):
        # One of three may fall on a whole second by chance.
        things.insert_one({})

    def described():
        status = replica_set.primary.command("replSetGetStatus")
        entries = replica_set.primary.direct.local["oplog.rs"]
        for member in status["members"]:
            wall = entries.find_one({"ts": member["optime"]["ts"]})["wall"]
            for name in ("optimeDate", "optimeDurableDate", "optimeWrittenDate", "lastAppliedWallTime",
                         "lastDurableWallTime", "lastWrittenWallTime"):
                assert member[name] == wall, name
            if member["state"] == 1:
                assert member["electionDate"] == entries.find_one({"ts": member["electionTime"]})["wall"]
        assert status["optimes"]["lastCommittedWallTime"] == entries.find_one(
            {"ts": status["optimes"]["lastCommittedOpTime"]["ts"]})["wall"]
        return [member["electionDate"] for member in status["members"] if member["state"] == 1]

    # As a secondary sees its primary, too: to the second, when it was cloned behind the entry.
    date, = eventually(described)
    secondary = replica_set.secondaries[0]
    seen, = (m for m in secondary.command("replSetGetStatus")["members"] if m["state"] == 1)
    has_entry = secondary.direct.local["oplog.rs"].find_one({"ts": seen["electionTime"]})
    assert seen["electionDate"] == (date if has_entry else date.replace(microsecond=0))


def test_an_election_keeps_its_dates(replica_set):
    replica_set.step_down()
    primary = replica_set.primary

    def metrics(member, name):
        return member.command("replSetGetStatus").get(name)

    candidate = eventually(
        lambda: (m := metrics(primary, "electionCandidateMetrics")) and "wMajorityWriteAvailabilityDate" in m and m)
    assert all(metrics(primary, "electionCandidateMetrics") == candidate for _ in range(30))
    assert candidate["numCatchUpOps"] == 0
    assert (candidate["lastElectionDate"] <= candidate["newTermStartDate"]
            <= candidate["wMajorityWriteAvailabilityDate"])

    def voter():
        for member in replica_set.secondaries:
            described = metrics(member, "electionParticipantMetrics") or {}
            if described.get("electionTerm") == candidate["electionTerm"] and "newTermAppliedDate" in described:
                return described
        return None

    described = eventually(voter)
    assert described["newTermStartDate"] == candidate["newTermStartDate"]
    assert described["lastVoteDate"] <= described["newTermAppliedDate"]
    assert described["priorityAtElection"] == 1
    assert described["maxWrittenOpTimeInSet"]["ts"] >= described["lastWrittenOpTimeAtElection"]["ts"]


def test_a_member_that_was_never_reached_is_shown_as_dead(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    nobody = f"127.0.0.1:{free_port()}"

    def add(config):
        config["members"].append({"_id": 7, "host": nobody, "votes": 0, "priority": 0})

    replica_set.reconfigure(add)
    # STARTUP until the first heartbeat has failed.
    row = eventually(lambda: next((m for m in replica_set.status()["members"] if m["_id"] == 7 and m["state"]), None))
    assert row["name"] == nobody
    assert (row["state"], row["stateStr"], row["health"]) == (8, "(not reachable/healthy)", 0)
    assert row["lastHeartbeatMessage"]
    assert row["uptime"] == 0
    assert row["optimeDate"] == datetime.datetime(1970, 1, 1)
    assert row["optime"] == {"ts": bson.Timestamp(0, 0), "t": -1}
    assert row["lastHeartbeatRecv"] == datetime.datetime(1970, 1, 1)
    assert row["configVersion"] == -1


def test_a_member_that_hangs_is_shown_as_dead(replica_set):
    hung = replica_set.secondaries[0]
    hung.pause()
    row = eventually(
        lambda: next((m for m in replica_set.status()["members"] if m["_id"] == hung.index and m["health"] == 0), None))
    assert (row["state"], row["stateStr"]) == (8, "(not reachable/healthy)")
    hung.resume()
    eventually(lambda: all(m["health"] == 1 for m in replica_set.status()["members"]))


def test_a_dead_member_is_shown_as_dead(replica_set):
    victim = replica_set.secondaries[0]
    replica_set.client().test.positions.with_options(write_concern=WriteConcern(w=3, wtimeout=10000)).insert_one({})
    entry = victim.direct.local["oplog.rs"].find({"op": "i"}).sort("$natural", -1).limit(1).next()
    victim.kill()
    row = eventually(
        lambda: next(
            (m for m in replica_set.status()["members"] if m["_id"] == victim.index and m["health"] == 0), None))
    assert (row["state"], row["stateStr"]) == (8, "(not reachable/healthy)")
    assert row["uptime"] == 0
    assert row["lastHeartbeatMessage"]
    # No position that a monitor would take for a lag; only the date of the last one is told.
    epoch = datetime.datetime(1970, 1, 1)
    for kind in ("", "Durable", "Written"):
        assert row["optime" + kind] == {"ts": bson.Timestamp(0, 0), "t": -1}
        assert row[f"optime{kind}Date"] == epoch
        assert row[f"last{kind or 'Applied'}WallTime"] >= entry["wall"]
    assert (row["syncSourceHost"], row["syncSourceId"], row["configVersion"]) == ("", -1, -1)
