"""What sessions have written is forgotten after a time."""
import subprocess

import pytest
from conftest import PROGRAM
from pymongo import UpdateOne, WriteConcern

COUNT = 2000


def cleaned(client):
    return client.admin.command("serverStatus")["logicalSessionRecordCache"]


def test_sessions_are_forgotten_at_all_members_over_a_step_down(make_replica_set, database_name):
    replica_set = make_replica_set(arguments=["--set", "TransactionRecordMinimumLifetimeMinutes=0"])
    replica_set.initiate(replica_set.config(replica_set.PATIENT))
    client = replica_set.client(retryWrites=True)
    things = client[database_name].get_collection("c", write_concern=WriteConcern(3))
    for number in range(5):
        with client.start_session() as session:
            first = COUNT * number
            things.bulk_write(
                [UpdateOne({"_id": i}, {"$inc": {"n": 1}}, upsert=True) for i in range(first, first + COUNT)],
                session=session)
    replica_set.step_down()
    client.admin.command("ping")
    primary = replica_set.primary.direct
    assert primary.admin.command("getParameter", "*")["TransactionRecordMinimumLifetimeMinutes"] == 0
    assert primary.admin.command("reapLogicalSessionCacheNow", 1)["ok"]
    status = cleaned(primary)
    assert status["transactionReaperJobCount"] == 1 and status["lastTransactionReaperJobEntriesCleanedUp"] >= 1
    things.insert_one({"_id": "last"})
    query = {"ns": "config.transactions", "op": "d"}
    deletions = [one["o"]["_id"] for one in primary.local["oplog.rs"].find(query)]
    assert deletions and all(one["id"].subtype == 4 for one in deletions)
    for member in replica_set.members:
        oplog = member.direct.local["oplog.rs"]
        assert [one["o"]["_id"] for one in oplog.find(query)] == deletions
    # A secondary forgets nothing of itself.
    secondary = next(one for one in replica_set.members if one is not replica_set.primary)
    assert secondary.direct.admin.command("reapLogicalSessionCacheNow", 1)["ok"]
    assert cleaned(secondary.direct)["transactionReaperJobCount"] == 0
    replica_set.wait_for_equal_data(database_name)
    # A member that comes back goes on, whatever it was sent of sessions that were forgotten meanwhile.
    secondary.kill()
    things.with_options(write_concern=WriteConcern("majority")).insert_one({"_id": "without it"})
    assert primary.admin.command("reapLogicalSessionCacheNow", 1)["ok"]
    secondary.start()
    things.with_options(write_concern=WriteConcern(3, wtimeout=30_000)).insert_one({"_id": "with it"})
    replica_set.wait_for_equal_data(database_name)


def test_a_standalone_forgets_too(standalone):
    assert standalone.admin.command("reapLogicalSessionCacheNow", 1)["ok"]
    assert cleaned(standalone)["transactionReaperJobCount"] >= 1


@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_a_lifetime_is_a_number_of_minutes(value):
    done = subprocess.run(
        [PROGRAM, "node", "--port", "0", "--set", f"TransactionRecordMinimumLifetimeMinutes={value}"],
        capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and "whole number of minutes" in done.stderr
