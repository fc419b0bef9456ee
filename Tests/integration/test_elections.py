"""Who becomes primary, when, and how soon clients write again."""
import time

import pytest
from conftest import ReplicaSet, code_of, eventually, free_port
from pymongo.errors import ServerSelectionTimeoutError
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

MAJORITY = WriteConcern("majority", wtimeout=5000)


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
    replica_set.client().test.things.with_options(write_concern=WriteConcern(w=3)).insert_one({"_id": 1})
    survivor = replica_set.members[1]
    for member in replica_set.members:
        if member is not survivor:
            member.kill()
    eventually(lambda: survivor.hello()["secondary"] and "primary" not in survivor.hello())
    with pytest.raises(ServerSelectionTimeoutError):
        replica_set.client(serverSelectionTimeoutMS=500).test.things.insert_one({"_id": 2})
    reader = replica_set.client().test.get_collection("things", read_preference=ReadPreference.SECONDARY_PREFERRED)
    assert reader.find_one({"_id": 1}) == {"_id": 1}
    assert replica_set.members[1].hello()["secondary"]


def test_a_primary_that_loses_its_majority_steps_down(replica_set):
    primary = replica_set.primary
    for secondary in replica_set.secondaries:
        secondary.pause()
    eventually(lambda: primary.hello()["secondary"])
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


# Soon: without an election timeout in between. How soon is measured in virtual time, and by `quorate bench`.


@pytest.fixture(scope="module")
def patient_set():
    """Whoever waited for a timeout here would wait longer than a test allows."""
    replica_set = ReplicaSet()
    try:
        replica_set.initiate(replica_set.config(ReplicaSet.PATIENT))
        yield replica_set
    finally:
        replica_set.close()


BLOWS = {
    "killed": lambda primary: primary.kill(),
    "stepped down": lambda primary: primary.command("replSetStepDown", 60),
    "stopped in good order": lambda primary: primary.stop(),
}


@pytest.mark.parametrize("blow", BLOWS.values(), ids=BLOWS)
def test_writes_go_on_soon_after_the_primary_was(patient_set, database_name, blow):
    patient_set.mend()
    things = patient_set.client(serverSelectionTimeoutMS=ReplicaSet.SOON * 1000)[database_name].things
    for _ in range(3):
        things.insert_one({})
        started = time.monotonic()
        blow(patient_set.primary)
        things.insert_one({})
        assert time.monotonic() - started < ReplicaSet.SOON
        patient_set.mend()
    assert things.count_documents({}) == 6


def test_writes_go_on_after_an_election_timeout_when_the_primary_hangs(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].things
    things.insert_one({})
    hung = replica_set.primary
    hung.pause()
    fresh = replica_set.client(connectTimeoutMS=500)
    new = eventually(lambda: replica_set.find_primary())
    assert new is not hung
    assert fresh[database_name].things.insert_one({}).acknowledged
    hung.resume()
    eventually(lambda: hung.hello()["secondary"])
