"""hello, replSetGetStatus and replSetGetConfig of a set that has a member of every kind: each field, at each member."""
import datetime

import bson
import pytest
from conftest import ReplicaSet, eventually
from pymongo.write_concern import WriteConcern

KINDS = {
    "m1": {"priority": 0.5, "tags": {"dc": "ny"}},
    "m2": {"arbiterOnly": True},
    "m3": {"priority": 0, "hidden": True, "secondaryDelaySecs": 1},
    "m4": {"priority": 0, "votes": 0},
}


@pytest.fixture(scope="module")
def set_of_kinds():
    replica_set = ReplicaSet(5)
    try:
        replica_set.initiate(replica_set.config(**KINDS))
        replica_set.client().test.things.with_options(
            write_concern=WriteConcern(w=4, wtimeout=10000)).insert_one({})
        yield replica_set
    finally:
        replica_set.close()


def test_every_member_says_hello_in_its_own_way(set_of_kinds):
    data, tagged, arbiter, delayed, plain = set_of_kinds.members
    hellos = [member.hello() for member in set_of_kinds.members]
    for member, hello in zip(set_of_kinds.members, hellos):
        assert hello["setName"] == "rs0"
        assert hello["me"] == member.host
        assert sorted(hello["hosts"]) == sorted([data.host, tagged.host])
        assert hello["passives"] == [plain.host]
        assert hello["arbiters"] == [arbiter.host]
        assert hello["primary"] == data.host
        assert hello["setVersion"] == hellos[0]["setVersion"]
        assert isinstance(hello["topologyVersion"]["processId"], bson.ObjectId)
        assert ("electionId" in hello) == hello["isWritablePrimary"] == (member is data)
        assert hello["secondary"] == (member not in (data, arbiter))
        assert ("lastWrite" in hello) == (member is not arbiter)
        assert hello.get("arbiterOnly", False) == (member is arbiter)
        assert hello.get("hidden", False) == (member is delayed)
        assert hello.get("passive", False) == (member in (delayed, plain))
        assert hello.get("secondaryDelaySecs", 0) == (1 if member is delayed else 0)
        assert hello.get("tags", {}) == ({"dc": "ny"} if member is tagged else {})
        legacy = member.command("isMaster")
        assert legacy["ismaster"] == hello["isWritablePrimary"] and legacy["me"] == member.host
    assert set(hellos[0]["lastWrite"]) == {"opTime", "lastWriteDate", "majorityOpTime", "majorityWriteDate"}


def test_every_member_sees_every_member(set_of_kinds):
    arbiter = set_of_kinds.members[2]
    eventually(lambda: all(
        row["health"] == 1 and row["state"] in (1, 2, 7)
        for member in set_of_kinds.members for row in member.command("replSetGetStatus")["members"]))
    for observer in set_of_kinds.members:
        status = observer.command("replSetGetStatus")
        assert (status["votingMembersCount"], status["writableVotingMembersCount"]) == (4, 3)
        assert (status["majorityVoteCount"], status["writeMajorityCount"]) == (3, 3)
        assert [row["_id"] for row in status["members"]] == [0, 1, 2, 3, 4]
        assert [row["stateStr"] for row in status["members"]] == [
            "PRIMARY", "SECONDARY", "ARBITER", "SECONDARY", "SECONDARY"]
        for row in status["members"]:
            is_self = row["name"] == observer.host
            assert row.get("self", False) == is_self
            assert ("lastHeartbeat" in row) == ("pingMs" in row) == (not is_self)
            holds_data = row["name"] != arbiter.host
            for name in ("optime", "optimeDurable", "optimeDate", "optimeDurableDate", "lastAppliedWallTime"):
                assert (name in row) == holds_data
            assert ("electionDate" in row) == (row["state"] == 1)
            assert set(row) >= {
                "health", "uptime", "syncSourceHost", "syncSourceId", "infoMessage", "configVersion", "configTerm"}
            if row["state"] == 1:
                assert isinstance(row["electionTime"], bson.Timestamp)
                assert row["syncSourceHost"] == ""
        assert ("electionCandidateMetrics" in status) == (status["myState"] == 1)


def test_an_election_is_described_on_both_sides(set_of_kinds):
    candidate = set_of_kinds.members[0].command("replSetGetStatus")["electionCandidateMetrics"]
    assert candidate["electionTerm"] == 1
    assert candidate["numVotesNeeded"] == 3
    assert candidate["priorityAtElection"] == 1
    assert candidate["electionTimeoutMillis"] == 1000
    assert isinstance(candidate["lastElectionDate"], datetime.datetime)
    assert isinstance(candidate["newTermStartDate"], datetime.datetime)
    voters = [set_of_kinds.members[index].command("replSetGetStatus") for index in (1, 2, 3)]
    described = [status["electionParticipantMetrics"] for status in voters if "electionParticipantMetrics" in status]
    assert len(described) >= 2
    for metrics in described:
        assert metrics["votedForCandidate"] is True
        assert metrics["electionTerm"] == 1
        assert metrics["electionCandidateMemberId"] == 0


def test_the_configuration_is_shown_whole_and_taken_back_unchanged(set_of_kinds):
    primary = set_of_kinds.members[0]
    config = primary.command("replSetGetConfig")["config"]
    fields = {"_id", "host", "arbiterOnly", "buildIndexes", "hidden", "priority", "tags", "secondaryDelaySecs", "votes"}
    assert all(set(member) == fields for member in config["members"])
    assert all(member["buildIndexes"] is True for member in config["members"])
    assert [member["priority"] for member in config["members"]] == [1, 0.5, 0, 0, 0]
    assert [member["votes"] for member in config["members"]] == [1, 1, 1, 1, 0]
    assert config["members"][3]["secondaryDelaySecs"] == 1
    assert set(config) == {
        "_id", "version", "term", "members", "protocolVersion", "writeConcernMajorityJournalDefault", "settings"}
    assert set(config["settings"]) == {
        "chainingAllowed", "heartbeatIntervalMillis", "heartbeatTimeoutSecs", "electionTimeoutMillis",
        "catchUpTimeoutMillis", "catchUpTakeoverDelayMillis", "getLastErrorModes", "getLastErrorDefaults",
        "replicaSetId"}
    config["version"] += 1
    assert primary.command({"replSetReconfig": config})["ok"] == 1
    after = primary.command("replSetGetConfig")["config"]
    assert after == config
    set_of_kinds.wait_until_healthy()
