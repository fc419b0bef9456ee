"""A new primary catches up with members that are ahead of it before it takes writes."""
import contextlib

import pytest
from conftest import code_of, eventually
from pymongo.write_concern import WriteConcern

COUNT = 300


@contextlib.contextmanager
def oplog_withheld_by(member):
    """Nobody is given entries by that member: its fail point refuses the members' own command for them."""
    member.command({
        "configureFailPoint": "failCommand", "mode": "alwaysOn",
        "data": {"failCommands": ["replSetFetchOplog"], "failInternalCommands": True, "errorCode": 6}})
    try:
        yield
    finally:
        member.command({"configureFailPoint": "failCommand", "mode": "off"})


def status_of(member):
    return member.command("replSetGetStatus")


def own_optime(member):
    return next(row["optime"] for row in status_of(member)["members"] if row.get("self"))


def elected_behind(replica_set, old, heir, things):
    """`old` alone has what it acknowledges; then `heir`, which lags, is elected. Returns what `old` has last."""
    written = things.with_options(write_concern=WriteConcern(w=1))
    for number in range(COUNT):
        written.insert_one({"_id": number})
    last = own_optime(old)
    # The other secondary is no further than the heir and votes for it; that is a majority.
    assert own_optime(heir)["ts"] < last["ts"]
    assert heir.command("replSetStepUp", 1)["ok"] == 1
    eventually(lambda: old.hello()["secondary"], what="the old primary has stepped down")
    metrics = eventually(
        lambda: (m := status_of(heir).get("electionCandidateMetrics", {})) and "targetCatchupOpTime" in m and m)
    assert metrics["targetCatchupOpTime"] == last
    return last


@pytest.fixture
def scene(replica_set, database_name):
    """A primary, one of its secondaries that are to follow it, and a collection that all have."""
    client = replica_set.client(retryWrites=False)
    things = client[database_name].things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": "known to all"})
    old = replica_set.primary
    direct = old.direct[database_name].things
    return replica_set, old, replica_set.secondaries[0], direct


def test_a_new_primary_catches_up_before_it_takes_writes(scene, database_name):
    replica_set, old, heir, things = scene
    with oplog_withheld_by(old):
        last = elected_behind(replica_set, old, heir, things)
        # Elected, and it takes no writes while what is ahead of it is not here.
        assert status_of(heir)["myState"] == 1
        assert heir.hello()["isWritablePrimary"] is False
        assert code_of(heir.direct[database_name].command, {"insert": "things", "documents": [{"_id": "early"}]}) in (
            10107, 13435)
        assert "newTermStartDate" not in status_of(heir)["electionCandidateMetrics"]
        before = own_optime(heir)["ts"]
        missing = old.direct.local["oplog.rs"].count_documents({"ts": {"$gt": before, "$lte": last["ts"]}})
        # A request for entries that was open already may have had its answer.
        assert COUNT / 2 < missing <= COUNT
    eventually(lambda: heir.hello()["isWritablePrimary"], what="the new primary takes writes")
    metrics = status_of(heir)["electionCandidateMetrics"]
    assert metrics["numCatchUpOps"] == missing
    assert metrics["targetCatchupOpTime"] == last
    assert metrics["newTermStartDate"] >= metrics["lastElectionDate"]
    # Its own first entry is the next one behind those that it fetched: it took none before.
    following = heir.direct.local["oplog.rs"].find({"ts": {"$gt": last["ts"]}}).sort("$natural", 1).limit(1).next()
    assert following["o"] == {"msg": "new primary"} and following["t"] == last["t"] + 1
    assert heir.direct[database_name].things.count_documents({}) == COUNT + 1
    replica_set.wait_until_healthy()
    replica_set.wait_for_equal_data(database_name)
    assert all("rolling back" not in member.log() for member in replica_set.members)


def test_a_catch_up_that_is_given_up_loses_what_one_member_alone_had(scene, database_name):
    replica_set, old, heir, things = scene
    with oplog_withheld_by(old):
        elected_behind(replica_set, old, heir, things)
        kept = [document["_id"] for document in heir.direct[database_name].things.find({})]
        assert kept[0] == "known to all" and len(kept) < COUNT / 2
        assert heir.command("replSetAbortPrimaryCatchUp", 1)["ok"] == 1
        eventually(lambda: heir.hello()["isWritablePrimary"], what="the new primary takes writes")
        assert status_of(heir)["electionCandidateMetrics"]["numCatchUpOps"] == 0
    replica_set.wait_until_healthy()
    replica_set.wait_for_equal_data(database_name)
    # w: 1 promised no more.
    assert [document["_id"] for document in old.direct[database_name].things.find({})] == kept
    assert "rolling back" in old.log()
