"""The course scripts that the project was given as its examples, told anew for today's PyMongo.

Each runs while the primary steps down, and while the primary's process is killed; every acknowledged write must be
there once in the end. They are shorter than the originals: 120 documents at about a hundred a second.
"""
import datetime
import threading
import time

import pymongo
import pytest
from conftest import eventually
from pymongo.errors import AutoReconnect, DuplicateKeyError, NotPrimaryError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference, Secondary
from pymongo.write_concern import WriteConcern

COUNT = 120
PACE = 0.01


class Disturbance:
    """Happens to the primary when a script is half way through, on a thread of its own."""

    def __init__(self, replica_set, kind):
        self.replica_set = replica_set
        self.kind = kind
        self.begin = threading.Event()
        self.error = None
        self.old = replica_set.primary
        self.term = self.old.command("replSetGetStatus")["term"]
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def at(self, place):
        """A script has come to the document with that number."""
        if place == COUNT // 2:
            self.begin.set()
        time.sleep(PACE)

    def _run(self):
        self.begin.wait(30)
        try:
            if self.kind == "step down":
                self.old.command("replSetStepDown", 60)
            else:
                self.old.kill()
        except Exception as error:
            self.error = error

    def __exit__(self, kind, error, trace):
        self.begin.set()
        self.thread.join()
        if kind is None:
            assert self.error is None, self.error
            new = eventually(
                lambda: self.replica_set.find_primary() not in (None, self.old) and self.replica_set.find_primary())
            assert new is not self.old
            assert new.command("replSetGetStatus")["term"] > self.term


@pytest.fixture(params=["step down", "kill"])
def disturbance(replica_set, request):
    return Disturbance(replica_set, request.param)


@pytest.fixture
def things(replica_set, database_name):
    """An empty collection, written through a client that knows all members."""
    things = replica_set.client()[database_name].things
    things.delete_many({})
    return things


def with_other_options(replica_set, collection, **options):
    return replica_set.client(**options)[collection.database.name][collection.name]


def ids(collection):
    return [document["_id"] for document in collection.find().sort("_id", 1)]


# 000: what an application has to do about failovers


def test_insert_naively_needs_no_error_handling(things, disturbance):
    with disturbance:
        for number in range(COUNT):
            things.insert_one({"_id": number})
            disturbance.at(number)
    assert ids(things) == list(range(COUNT))


def test_insert_with_abandon_loses_only_what_was_not_acknowledged(replica_set, things, disturbance):
    writer = with_other_options(replica_set, things, retryWrites=False)
    acknowledged, errors = [], []
    with disturbance:
        for number in range(COUNT):
            try:
                writer.insert_one({"_id": number})
                acknowledged.append(number)
            except Exception as error:
                errors.append(error)
            disturbance.at(number)
    present = ids(things)
    assert set(acknowledged) <= set(present)
    assert len(present) == len(set(present))
    assert {type(error) for error in errors} <= {AutoReconnect, NotPrimaryError}
    assert len(acknowledged) + len(errors) == COUNT


@pytest.mark.parametrize("retry_writes", [True, False])
def test_insert_robustly_gets_everything_in_once(replica_set, things, disturbance, retry_writes):
    writer = with_other_options(replica_set, things, retryWrites=retry_writes)
    errors = []
    with disturbance:
        for number in range(COUNT):
            for _ in range(3):
                try:
                    writer.insert_one({"_id": number})
                    break
                except AutoReconnect as error:
                    errors.append(error)
                    replica_set.primary
                except DuplicateKeyError:
                    # The try that failed had got there.
                    break
            else:
                pytest.fail(f"document {number} was given up")
            disturbance.at(number)
    assert ids(things) == list(range(COUNT))
    assert {type(error) for error in errors} <= {AutoReconnect, NotPrimaryError}
    if retry_writes:
        assert errors == []


def test_read_robustly_finds_everything(replica_set, things, disturbance):
    things.insert_many({"_id": number} for number in range(COUNT))
    errors = []
    with disturbance:
        for number in range(COUNT):
            for _ in range(3):
                try:
                    assert things.find_one({"_id": number}) == {"_id": number}
                    break
                except AutoReconnect as error:
                    errors.append(error)
                    replica_set.primary
            else:
                pytest.fail(f"document {number} could not be read")
            disturbance.at(number)
    # Reads are retried by the driver too.
    assert errors == []


def test_safe_updates_never_count_a_vote_twice(replica_set, things, disturbance):
    """Reads the count and sets it to one more: a write that can be done again whatever happened to the first try."""
    things.insert_many({"_id": number, "votes": 0} for number in range(COUNT))
    writer = with_other_options(replica_set, things, retryWrites=False)

    def robustly(operation):
        for _ in range(3):
            try:
                return operation()
            except AutoReconnect as error:
                assert type(error) in (AutoReconnect, NotPrimaryError)
                replica_set.primary
        raise AssertionError("given up")

    with disturbance:
        for number in range(COUNT):
            votes = robustly(lambda: writer.find_one({"_id": number})["votes"] + 1)
            robustly(lambda: writer.update_one({"_id": number}, {"$set": {"votes": votes}}))
            disturbance.at(number)
    assert things.count_documents({"votes": 1}) == COUNT


def test_retried_increments_never_count_a_vote_twice(things, disturbance):
    """What `$inc` could not promise in the original: the driver's retry is recognised by the server."""
    things.insert_many({"_id": number, "votes": 0} for number in range(COUNT))
    with disturbance:
        for number in range(COUNT):
            assert things.update_one({"_id": number}, {"$inc": {"votes": 1}}).modified_count == 1
            disturbance.at(number)
    assert things.count_documents({"votes": 1}) == COUNT


def test_find_one_and_update_counts_once_and_says_what_it_counted(things, disturbance):
    things.insert_one({"_id": "counter", "n": 0})
    with disturbance:
        for number in range(COUNT):
            before = things.find_one_and_update({"_id": "counter"}, {"$inc": {"n": 1}})
            assert before["n"] == number
            disturbance.at(number)
    assert things.find_one({"_id": "counter"})["n"] == COUNT


PEOPLE = [
    {"name": "Ada", "favorite_color": "blue"}, {"name": "Grace", "favorite_color": "red"},
    {"name": "Barbara", "favorite_color": "green"},
]


def test_pymongo_to_replset_inserts_people_with_the_journal(replica_set, database_name, disturbance):
    people = replica_set.client(w=1, journal=True)[database_name].people
    with disturbance:
        for number in range(COUNT):
            if number % (COUNT // 3) == 1:
                people.insert_one(dict(PEOPLE[number // (COUNT // 3)]))
            disturbance.at(number)
    assert [person["name"] for person in people.find().sort("_id", 1)] == ["Ada", "Grace", "Barbara"]


def test_simple_inserts_wait_for_all_three_members(replica_set, database_name, disturbance):
    seed = f"mongodb://{replica_set.members[0].host}/?replicaSet={replica_set.name}"
    client = replica_set.client(seed, w=3, wTimeoutMS=10000, journal=True, readPreference="secondary")
    people = client[database_name].people
    people.insert_one(dict(PEOPLE[0]))
    with disturbance:
        disturbance.at(COUNT // 2)
        disturbance.thread.join()
        if disturbance.kind == "kill":
            # It comes back empty, copies the others and counts again.
            disturbance.old.start()
        people.insert_one(dict(PEOPLE[1]))
        people.insert_one(dict(PEOPLE[2]))
    # Acknowledged by all three: whichever answers has them.
    for _ in range(10):
        assert people.count_documents({}) == 3
    for member in replica_set.members:
        assert member.direct[database_name].people.count_documents({}) == 3


def test_read_from_secondary_goes_on(replica_set, database_name, disturbance):
    client = replica_set.client(readPreference="secondary")
    things = client[database_name].things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_many(
        {"_id": number} for number in range(COUNT))
    first_primary = disturbance.old.address
    with disturbance:
        for number in range(COUNT):
            cursor = things.find({"_id": number})
            assert list(cursor) == [{"_id": number}]
            if number < COUNT // 2:
                assert cursor.address != first_primary
            disturbance.at(number)


# 002: replication seen from an application


def test_hello_and_status_describe_the_set(replica_set, disturbance):
    client = replica_set.client()
    hosts = sorted(member.host for member in replica_set.members)

    def described():
        hello = client.admin.command("hello")
        assert hello["isWritablePrimary"] is True
        assert sorted(hello["hosts"]) == hosts
        assert hello["setName"] == replica_set.name
        assert hello["primary"] == hello["me"]
        status = client.admin.command("replSetGetStatus")
        assert status["set"] == replica_set.name
        rows = {member["name"]: (member["stateStr"], member["health"]) for member in status["members"]}
        assert sorted(rows) == hosts
        assert rows[hello["me"]] == ("PRIMARY", 1)
        return hello["me"], rows

    before, rows = described()
    assert sorted(state for state, _ in rows.values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    with disturbance:
        disturbance.at(COUNT // 2)
        disturbance.thread.join()
        after, _ = eventually(lambda: (d := described())[0] != before and d, what="a new primary in hello")
        assert after != before
        if disturbance.kind == "kill":
            eventually(
                lambda: described()[1][before] == ("(not reachable/healthy)", 0), what="the dead member shown as dead")
        else:
            eventually(lambda: described()[1][before] == ("SECONDARY", 1), what="the old primary shown as secondary")


OPERATION_NAMES = {"i": "INSERT", "u": "UPDATE", "d": "DELETE", "c": "COMMAND", "n": "NOOP"}


def newest_entries(client, count):
    fields = {"op": 1, "ns": 1, "o": 1, "ts": 1, "wall": 1}
    entries = client.local["oplog.rs"].find({}, fields).sort("$natural", -1).limit(count)
    return list(entries)


def test_oplog_shows_the_newest_operations_first(replica_set, database_name, disturbance):
    client = replica_set.client()
    orders = client[database_name].orders
    orders.insert_one({"_id": 1, "status": "new"})
    with disturbance:
        disturbance.at(COUNT // 2)
        disturbance.thread.join()
        orders.insert_one({"_id": 2})
        orders.update_one({"_id": 1}, {"$set": {"status": "paid"}})
        orders.delete_one({"_id": 2})
        entries = newest_entries(client, 5)
    mine = [OPERATION_NAMES[entry["op"]] for entry in entries if entry["ns"] == f"{database_name}.orders"]
    assert mine[:3] == ["DELETE", "UPDATE", "INSERT"]
    assert all(set(entry) <= {"op", "ns", "o", "ts", "wall"} for entry in entries)
    assert [entry["ts"] for entry in entries] == sorted((entry["ts"] for entry in entries), reverse=True)
    assert all(isinstance(entry["wall"], datetime.datetime) for entry in entries)
    statistics = client.local.command("collStats", "oplog.rs")
    assert statistics["capped"] is True
    assert 0 < statistics["size"] <= statistics["maxSize"]
    assert statistics["count"] >= 5


def test_lag_of_each_secondary_is_small(replica_set, database_name):
    client = replica_set.client()
    for number in range(50):
        client[database_name].orders.insert_one({"_id": number})
    status = client.admin.command("replSetGetStatus")
    newest = next(member["optimeDate"] for member in status["members"] if member["stateStr"] == "PRIMARY")
    lags = [
        (newest - member["optimeDate"]).total_seconds()
        for member in status["members"] if member["stateStr"] == "SECONDARY"
    ]
    assert len(lags) == 2
    assert all(0 <= lag <= 1 for lag in lags)


def test_write_with_failover_handling_succeeds_without_needing_it(replica_set, database_name, disturbance):
    orders = replica_set.client(serverSelectionTimeoutMS=5000, retryWrites=True)[database_name].orders
    handled = []

    def write(document, attempts=3):
        for _ in range(attempts):
            try:
                orders.insert_one(document)
                return True
            except (NotPrimaryError, ServerSelectionTimeoutError, pymongo.errors.ConnectionFailure) as error:
                handled.append(error)
        return False

    with disturbance:
        for number in range(COUNT):
            assert write({"_id": number})
            disturbance.at(number)
    assert handled == []
    assert ids(orders) == list(range(COUNT))


def test_read_preference_of_each_collection_chooses_the_member(replica_set, database_name, disturbance):
    client = replica_set.client()
    database = client[database_name]
    everywhere = WriteConcern(w=3, wtimeout=5000)
    for name in ("orders", "products", "reviews"):
        database.get_collection(name, write_concern=everywhere).insert_one({"_id": 1})

    def members_read(name, preference, times=5):
        collection = database.get_collection(name, read_preference=preference)
        addresses = set()
        for _ in range(times):
            cursor = collection.find({})
            assert list(cursor) == [{"_id": 1}]
            addresses.add(cursor.address)
        return addresses

    def check(primary, readable):
        assert members_read("orders", ReadPreference.PRIMARY) == {primary}
        assert members_read("orders", ReadPreference.SECONDARY) <= readable - {primary}
        assert members_read("orders", Secondary(max_staleness=90)) <= readable - {primary}
        assert members_read("products", ReadPreference.SECONDARY_PREFERRED) <= readable - {primary}
        assert members_read("reviews", ReadPreference.NEAREST) <= readable

    everybody = {member.address for member in replica_set.members}
    check(disturbance.old.address, everybody)
    with disturbance:
        disturbance.at(COUNT // 2)
        disturbance.thread.join()
        expected = replica_set.primary.address
        alive = {member.address for member in replica_set.members if member.is_running}
        eventually(
            lambda: client.primary == expected and client.secondaries == alive - {expected}, what="the driver's view")
        check(expected, alive)


SALES = [
    (1, 44.96), (2, 89.99), (2, 49.99), (2, 49.99), (3, 629.98), (3, 49.99), (4, 11.97),
]


def test_monthly_revenue_is_computed_on_a_secondary(replica_set, database_name, disturbance):
    client = replica_set.client()
    database = client[database_name]
    database.get_collection("orders", write_concern=WriteConcern(w=3, wtimeout=5000)).insert_many(
        {"date": datetime.datetime(2024, month, 5), "total": total} for month, total in SALES)
    orders = database.get_collection("orders", read_preference=ReadPreference.SECONDARY)
    pipeline = [
        {"$group": {"_id": {"$month": "$date"}, "revenue": {"$sum": "$total"}, "count": {"$sum": 1}}},
        {"$sort": {"_id": 1}},
        {"$project": {"month": "$_id", "revenue": {"$round": ["$revenue", 2]}, "count": 1, "_id": 0}},
    ]
    expected = [
        {"month": 1, "revenue": 44.96, "count": 1}, {"month": 2, "revenue": 189.97, "count": 3},
        {"month": 3, "revenue": 679.97, "count": 2}, {"month": 4, "revenue": 11.97, "count": 1},
    ]
    cursor = orders.aggregate(pipeline)
    assert cursor.address != disturbance.old.address
    assert list(cursor) == expected
    with disturbance:
        disturbance.at(COUNT // 2)
        disturbance.thread.join()
        assert list(orders.aggregate(pipeline)) == expected


def test_write_concerns_of_collections_and_read_concerns(replica_set, database_name, disturbance):
    client = replica_set.client()
    database = client[database_name]
    safe = database.get_collection("orders", write_concern=WriteConcern(w="majority", j=True, wtimeout=5000))
    fast = database.get_collection("events", write_concern=WriteConcern(w=1, j=False))
    order = {"_id": "o_wc_demo", "user_id": "u001", "status": "processing", "total": 59.99, "date": "2024-04-05"}
    assert safe.insert_one(order).acknowledged
    assert fast.insert_one({"_id": 1}).acknowledged
    assert not database.get_collection("events", write_concern=WriteConcern(w=0)).insert_one({"_id": 0}).acknowledged
    with disturbance:
        disturbance.at(COUNT // 2)
        disturbance.thread.join()
        for level in ("local", "majority", "available"):
            assert safe.with_options(read_concern=ReadConcern(level)).find_one({"_id": "o_wc_demo"}) == order
        with client.start_session(snapshot=True) as session:
            assert safe.find_one({"_id": "o_wc_demo"}, session=session) == order
        assert safe.delete_one({"_id": "o_wc_demo"}).deleted_count == 1
    assert safe.find_one({"_id": "o_wc_demo"}) is None
