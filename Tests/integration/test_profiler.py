"""The database profiler through PyMongo: counting queries, at each member for itself."""
import pymongo
import pytest
from conftest import code_of, eventually
from pymongo import UpdateOne
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern


def profiled(database, **filter):
    """The entries that match, reads of the entries themselves apart."""
    return list(database["system.profile"].find({"ns": {"$not": {"$regex": "system[.]profile"}}, **filter}))


def on(member, name):
    return member.direct.get_database(name, read_preference=ReadPreference.SECONDARY_PREFERRED)


@pytest.fixture
def profiled_database(database):
    database.command("profile", 2)
    yield database
    database.command("profile", 0)


def test_queries_are_counted(profiled_database):
    database = profiled_database
    things = database.things
    things.insert_many([{"_id": number, "n": number % 3} for number in range(300)])
    for _ in range(5):
        assert things.find_one({"_id": 7})["n"] == 1
    assert len(list(things.find({"n": 1}))) == 100
    queries = profiled(database, op="query", ns=things.full_name)
    assert [entry["planSummary"] for entry in queries] == ["IDHACK"] * 5 + ["COLLSCAN"]
    assert queries[-1]["docsExamined"] == 300
    assert queries[-1]["nreturned"] == 100
    assert queries[-1]["client"] == "127.0.0.1"
    (insert,) = profiled(database, op="insert")
    assert insert["ninserted"] == 300
    things.bulk_write([UpdateOne({"_id": number}, {"$set": {"x": 1}}) for number in range(50)])
    things.delete_many({"n": 2})
    assert len(profiled(database, op="update", nModified=1)) == 50
    assert [entry["ndeleted"] for entry in profiled(database, op="remove")] == [100]
    assert database["system.profile"].count_documents({"op": "update"}) == 50
    (group,) = database["system.profile"].aggregate([{"$match": {"op": "update"}}, {"$count": "n"}])
    assert group["n"] == 50
    newest = database["system.profile"].find_one({"op": "remove"}, sort=[("$natural", -1)])
    assert newest["command"]["limit"] == 0


def test_long_commands_count_their_own_work_alone(profiled_database):
    """A scan of many slices, and an update of many statements, have what they did in their entries, all of it."""
    database = profiled_database
    things = database.things
    database.command("profile", 0)
    for start in range(0, 50_000, 5000):
        things.insert_many([{"_id": number, "n": number, "text": "x" * 100} for number in range(start, start + 5000)])
    database.command("profile", 2)
    assert things.count_documents({"text": {"$regex": "y"}}) == 0
    (scan,) = profiled(database, **{"command.aggregate": "things"})
    assert scan["docsExamined"] == 50_000
    assert scan["planSummary"] == "COLLSCAN"
    things.update_many({}, {"$inc": {"n": 1}})
    (update,) = profiled(database, op="update")
    assert update["nMatched"] == update["nModified"] == 50_000


def test_the_size_is_bounded(profiled_database):
    database = profiled_database
    things = database.things
    updates = [UpdateOne({"_id": number}, {"$set": {"n": number}}, upsert=True) for number in range(20_000)]
    things.bulk_write(updates, ordered=False)
    stats = database.command("collStats", "system.profile")
    assert stats["capped"] is True
    assert stats["size"] <= 1024 * 1024
    newest = database["system.profile"].find_one({"op": "update"}, sort=[("$natural", -1)])
    assert newest["command"]["q"] == {"_id": 19_999}
    assert newest["upsert"] is True


def test_entries_can_be_tailed(profiled_database):
    database = profiled_database
    database.things.insert_one({"_id": 1})
    cursor = database["system.profile"].find({"op": "query", "ns": database.things.full_name},
                                             cursor_type=pymongo.CursorType.TAILABLE_AWAIT)
    database.things.find_one({"_id": 1})
    assert eventually(lambda: next(cursor, None))["planSummary"] == "IDHACK"
    database.things.find_one({"n": 1})
    assert eventually(lambda: next(cursor, None))["planSummary"] == "COLLSCAN"
    cursor.close()


def test_rules_of_system_profile(profiled_database):
    database = profiled_database
    assert code_of(database["system.profile"].drop) == 20
    with pytest.raises(pymongo.errors.OperationFailure):
        database["system.profile"].insert_one({})
    database.command("profile", 0)
    database["system.profile"].drop()
    assert "system.profile" not in database.list_collection_names()
    database.create_collection("system.profile", capped=True, size=64 * 1024)
    database.command("profile", 2)
    for number in range(500):
        database.things.find_one({"_id": number})
    assert database.command("collStats", "system.profile")["size"] <= 64 * 1024


def test_each_member_profiles_for_itself(replica_set, database_name):
    name = database_name
    writer = replica_set.client()[name]
    everywhere = writer.things.with_options(write_concern=WriteConcern(w=3, wtimeout=10_000))
    everywhere.insert_one({"_id": 1})
    primary, secondary = replica_set.primary, replica_set.secondaries[0]
    logged = primary.direct.local["oplog.rs"].count_documents({"ns": {"$regex": f"^{name}[.]"}})
    for member in (primary, secondary):
        on(member, name).command("profile", 2)
        for _ in range(4):
            on(member, name).things.find_one({"_id": 1})
    for member in (primary, secondary):
        assert len(profiled(on(member, name), op="query")) == 4
    third = next(member for member in replica_set.members if member not in (primary, secondary))
    assert on(third, name).command("profile", -1)["was"] == 0
    assert "system.profile" not in on(third, name).list_collection_names()
    # Nothing of it is logged, hashed, or undone by what comes.
    replica_set.wait_for_equal_data(name)
    assert primary.direct.local["oplog.rs"].count_documents({"ns": {"$regex": f"^{name}[.]"}}) == logged
    replica_set.step_down()
    for member in (primary, secondary):
        assert on(member, name).command("profile", -1)["was"] == 2
        assert len(profiled(on(member, name), op="query")) == 4
    primary.command("replSetFreeze", 0)
    # A member that begins anew watches nothing.
    secondary.kill()
    replica_set.mend()
    assert on(secondary, name).command("profile", -1)["was"] == 0
    # A database that is dropped takes the entries along, at every member.
    replica_set.client().drop_database(name)
    everywhere.insert_one({"_id": 2})
    for member in replica_set.members:
        assert "system.profile" not in on(member, name).list_collection_names()
        assert on(member, name).command("profile", -1)["was"] == 0


def test_an_initial_sync_copies_no_entries(make_replica_set):
    from test_initial_sync import add_member

    replica_set = make_replica_set(1)
    replica_set.initiate()
    database = replica_set.primary.direct.test
    database.things.insert_many([{"_id": number} for number in range(2000)])
    database.command("profile", 2)
    for _ in range(10):
        database.things.find_one({"_id": 1})
    member = add_member(replica_set)
    eventually(lambda: member.hello().get("secondary"))
    assert on(member, "test").list_collection_names() == ["things"]
    assert on(member, "test").things.count_documents({}) == 2000
    assert on(member, "test").command("profile", -1)["was"] == 0
    replica_set.wait_for_equal_data("test")
    assert len(profiled(database, op="query", ns="test.things")) == 10


def test_connections_to_members_are_shown(replica_set):
    primary = replica_set.primary
    stats = eventually(lambda: (found := primary.command("connPoolStats"))["totalCreated"] >= 2 and found)
    others = {member.host for member in replica_set.members if member is not primary}
    assert others <= set(stats["hosts"])
    for host in others:
        assert stats["hosts"][host]["created"] >= 1
        assert stats["hosts"][host]["inUse"] + stats["hosts"][host]["available"] >= 1
    for name in ("inUse", "available", "created"):
        total = sum(host[name] for host in stats["hosts"].values())
        assert stats["total" + name[0].upper() + name[1:]] == total
