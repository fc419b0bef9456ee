"""Taking one member out of reads and elections for a while, and helping a new primary along."""
import pytest
from conftest import code_of, eventually
from pymongo.errors import OperationFailure
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern


def test_maintenance_takes_a_member_out_of_reads_and_elections(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 1})
    member, other = replica_set.secondaries
    eventually(lambda: client.secondaries == {member.address, other.address})
    assert member.command("replSetMaintenance", True)["ok"] == 1
    hello = member.hello()
    assert hello["secondary"] is False and hello["isWritablePrimary"] is False
    assert hello["setName"] == "rs0"
    assert member.command("replSetGetStatus")["myState"] == 3
    eventually(lambda: client.secondaries == {other.address}, what="the driver has noticed")
    assert code_of(
        member.direct[database_name].command, {"find": "things", "$readPreference": {"mode": "nearest"}}) == 13436
    reader = things.with_options(read_preference=ReadPreference.SECONDARY)
    assert {reader.find().address or other.address for _ in range(10)} == {other.address}
    # It goes on replicating, and acknowledges.
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 2})
    eventually(lambda: next(
        row for row in replica_set.status()["members"] if row["_id"] == member.index)["stateStr"] == "RECOVERING")
    with pytest.raises(OperationFailure):
        member.command("replSetStepUp", 1)
    replica_set.primary.kill()
    eventually(lambda: replica_set.find_primary() is other, what="the other member elected")
    assert member.command("replSetMaintenance", False)["ok"] == 1
    replica_set.mend()
    assert member.hello()["secondary"] is True
    assert code_of(member.command, "replSetMaintenance", False) == 96


def test_maintenance_is_not_for_primaries(replica_set):
    assert code_of(replica_set.primary.command, "replSetMaintenance", True) == 95
    assert replica_set.find_primary() is not None


def test_a_primary_that_is_not_behind_has_no_catch_up_to_give_up(replica_set):
    assert code_of(replica_set.primary.command, "replSetAbortPrimaryCatchUp", 1) == 20


def test_a_member_without_a_configuration_has_nothing_to_look_after(make_replica_set):
    member, = make_replica_set(1).members
    assert code_of(member.command, "replSetFreeze", 10) == 94
    assert code_of(member.command, "replSetFreeze", 0) == 94
    assert code_of(member.command, {"replSetResizeOplog": 1, "size": 990}) == 94
    assert code_of(member.command, "replSetMaintenance", True) == 94


@pytest.mark.parametrize("command", [
    "replSetMaintenance", "replSetResizeOplog", "replSetFreeze", "replSetStepDown", "replSetStepUp", "replSetSyncFrom",
    "replSetAbortPrimaryCatchUp", "replSetGetConfig", "replSetReconfig", "replSetInitiate", "replSetGetStatus",
])
def test_commands_of_sets_are_for_admin_and_for_sets(replica_set, standalone, command):
    assert code_of(replica_set.primary.direct.test.command, {command: 1}) == 13
    assert code_of(standalone.admin.command, {command: {} if command.endswith(("config", "initiate")) else 1}) == 76
