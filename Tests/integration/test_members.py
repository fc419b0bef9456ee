"""Members of every kind, as a driver and an administrator see them: arbiters, passive, hidden, delayed, non-voting and
tagged ones; who syncs from whom."""
import time

import pytest
from conftest import code_of, eventually
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError, WTimeoutError
from pymongo.read_preferences import Nearest, ReadPreference, Secondary
from pymongo.write_concern import WriteConcern

MAJORITY = WriteConcern("majority", wtimeout=10000)
EVERYBODY_WAITS = 10000


def row(member_id, status):
    return next(m for m in status["members"] if m["_id"] == member_id)


def everywhere(count):
    return WriteConcern(w=count, wtimeout=EVERYBODY_WAITS)


# Arbiters


@pytest.fixture(scope="module")
def module_set_with_arbiter():
    from conftest import ReplicaSet

    replica_set = ReplicaSet(3)
    try:
        replica_set.initiate(replica_set.config(m2={"arbiterOnly": True}))
        yield replica_set
    finally:
        replica_set.close()


@pytest.fixture
def set_with_arbiter(module_set_with_arbiter):
    module_set_with_arbiter.mend()
    return module_set_with_arbiter


def test_an_arbiter_is_shown_as_one(set_with_arbiter):
    first, second, arbiter = set_with_arbiter.members
    hello = arbiter.hello()
    assert hello["arbiterOnly"] is True
    assert hello["arbiters"] == [arbiter.host]
    assert sorted(hello["hosts"]) == sorted([first.host, second.host])
    assert hello["secondary"] is False and hello["isWritablePrimary"] is False
    assert "lastWrite" not in hello
    assert row(2, set_with_arbiter.status())["stateStr"] == "ARBITER"
    status = arbiter.command("replSetGetStatus")
    assert status["myState"] == 7
    assert "optime" not in row(2, status)
    assert row(2, status)["infoMessage"] == ""
    assert row(0, status)["health"] == 1
    config = set_with_arbiter.primary.command("replSetGetConfig")["config"]
    assert config["members"][2]["arbiterOnly"] is True
    assert config["members"][2]["priority"] == 0
    assert (status["votingMembersCount"], status["writableVotingMembersCount"]) == (3, 2)
    assert (status["majorityVoteCount"], status["writeMajorityCount"]) == (2, 2)


def test_the_driver_knows_arbiters(set_with_arbiter):
    client = set_with_arbiter.client()
    client.admin.command("ping")
    arbiter = set_with_arbiter.members[2]
    eventually(lambda: client.arbiters == {arbiter.address})
    eventually(lambda: len(client.secondaries) == 1)
    everybody = {member.address for member in set_with_arbiter.members}
    eventually(lambda: client.nodes == everybody)
    assert arbiter.address not in client.secondaries


def test_an_arbiter_has_no_data_and_answers_no_reads(set_with_arbiter, database_name):
    things = set_with_arbiter.client()[database_name].things
    things.with_options(write_concern=everywhere(2)).insert_one({"_id": 1})
    arbiter = set_with_arbiter.members[2]
    # PyMongo selects no arbiter for operations, so it is asked as an administrator would.
    assert code_of(arbiter.direct[database_name].command, {"find": "things"}) == 13436
    assert code_of(
        arbiter.direct[database_name].command,
        {"find": "things", "$readPreference": {"mode": "secondaryPreferred"}}) == 13436
    assert arbiter.command("serverStatus")["oplog"]["entries"] == 0
    assert code_of(arbiter.command, "replSetStepUp", 1) == 125
    assert code_of(arbiter.command, "replSetSyncFrom", set_with_arbiter.members[0].host) == 95


def test_an_arbiter_does_not_count_for_numbers(set_with_arbiter, database_name):
    things = set_with_arbiter.client()[database_name].things
    things.with_options(write_concern=everywhere(2)).insert_one({})
    with pytest.raises(OperationFailure) as caught:
        things.with_options(write_concern=everywhere(3)).insert_one({})
    assert caught.value.code == 100


def test_two_members_and_an_arbiter_survive_the_loss_of_one(set_with_arbiter, database_name):
    client = set_with_arbiter.client()
    things = client[database_name].things
    things.with_options(write_concern=everywhere(2)).insert_one({"_id": 1})
    old = set_with_arbiter.primary
    survivor = set_with_arbiter.secondaries[0]
    old.kill()
    eventually(lambda: set_with_arbiter.find_primary() is survivor, what="elected with the arbiter's vote")
    # The implicit default is w: 1 here, since a majority with data is no longer to be had.
    things.insert_one({"_id": 2})
    assert things.count_documents({}) == 2
    with pytest.raises(WTimeoutError) as caught:
        things.with_options(write_concern=WriteConcern("majority", wtimeout=200)).insert_one({"_id": 3})
    assert caught.value.details["errInfo"]["writeConcern"]["provenance"] == "clientSupplied"
    set_with_arbiter.mend()
    eventually(lambda: old.direct[database_name].things.with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED).count_documents({}) == 3)


def test_an_arbiter_that_was_restarted_votes_again(set_with_arbiter, database_name):
    arbiter = set_with_arbiter.members[2]
    arbiter.kill()
    arbiter.start()
    set_with_arbiter.wait_until_healthy()
    assert set_with_arbiter.status()["votingMembersCount"] == 3
    survivor = set_with_arbiter.secondaries[0]
    set_with_arbiter.primary.kill()
    eventually(lambda: set_with_arbiter.find_primary() is survivor)


# Passive, hidden, tagged, without a vote


def test_a_member_without_a_vote_replicates_and_counts_for_numbers_only(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(m2={"votes": 0, "priority": 0}))
    client = replica_set.client()
    things = client.test.things
    status = replica_set.status()
    assert (status["votingMembersCount"], status["majorityVoteCount"]) == (2, 2)
    things.with_options(write_concern=everywhere(3)).insert_one({"_id": 1})
    voter = replica_set.members[1]
    voter.pause()
    things.with_options(write_concern=everywhere(2)).insert_one({"_id": 2})
    with pytest.raises(WTimeoutError):
        things.with_options(write_concern=WriteConcern("majority", wtimeout=200)).insert_one({"_id": 3})
    voter.resume()
    things.with_options(write_concern=MAJORITY).insert_one({"_id": 4})
    # Without it nobody is missing: a majority of two is two.
    replica_set.members[2].kill()
    things.with_options(write_concern=MAJORITY).insert_one({"_id": 5})
    assert replica_set.find_primary() is replica_set.members[0]


def test_the_driver_finds_passive_members_and_not_hidden_ones(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(
        m1={"priority": 0}, m2={"priority": 0, "hidden": True, "tags": {"use": "backup"}}))
    primary, passive, hidden = replica_set.members
    for seed in replica_set.members[:2]:
        client = replica_set.client(f"mongodb://{seed.host}/?replicaSet=rs0")
        client.admin.command("ping")
        eventually(lambda: client.secondaries == {passive.address})
        eventually(lambda: client.nodes == {primary.address, passive.address})
        cursor = client.test.things.with_options(read_preference=ReadPreference.SECONDARY).find()
        list(cursor)
        assert cursor.address == passive.address
    client = replica_set.client(serverSelectionTimeoutMS=300)
    with pytest.raises(ServerSelectionTimeoutError):
        client.test.things.with_options(read_preference=Secondary(tag_sets=[{"use": "backup"}])).find_one()
    hello = hidden.hello()
    assert hello["hidden"] is True and hello["passive"] is True and hello["secondary"] is True
    assert hello["tags"] == {"use": "backup"}
    assert hidden.host not in hello["hosts"] + hello["passives"]
    assert row(2, replica_set.status())["stateStr"] == "SECONDARY"
    # Who asks it directly reads it.
    client.test.things.with_options(write_concern=everywhere(3)).insert_one({"_id": 1})
    assert hidden.direct.test.things.find_one() == {"_id": 1}


def test_tag_sets_choose_the_member_in_their_order(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(
        m0={"tags": {"dc": "ny", "disk": "ssd"}}, m1={"tags": {"dc": "ny"}, "priority": 0},
        m2={"tags": {"dc": "sf"}, "priority": 0}))
    client = replica_set.client()
    client.test.things.with_options(write_concern=everywhere(3)).insert_one({})
    assert replica_set.members[2].hello()["tags"] == {"dc": "sf"}

    def address(preference):
        cursor = client.test.things.with_options(read_preference=preference).find()
        assert len(list(cursor)) == 1
        return cursor.address

    ny, sf = replica_set.members[1].address, replica_set.members[2].address
    for _ in range(5):
        assert address(Secondary(tag_sets=[{"dc": "ny"}])) == ny
        assert address(Secondary(tag_sets=[{"dc": "sf"}])) == sf
        assert address(Nearest(tag_sets=[{"dc": "tokyo"}, {"dc": "sf"}, {}])) == sf
        assert address(Nearest(tag_sets=[{"dc": "ny", "disk": "ssd"}])) == replica_set.members[0].address
    assert {address(Secondary(tag_sets=[{"dc": "tokyo"}, {}])) for _ in range(40)} == {ny, sf}


# Delayed


@pytest.fixture
def set_with_delayed(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(m2={"priority": 0, "hidden": True, "secondaryDelaySecs": 2}))
    return replica_set


def note_new(collection, appeared):
    """Notes when each document was seen first; returns how many there are by now."""
    for document in collection.find():
        appeared.setdefault(document["_id"], time.monotonic())
    return len(appeared)


def check_delay(begun, appeared):
    """Nothing is seen before its time. The time before a write, not the one after its acknowledgement: the entry's
    clock is read in between, and how long the acknowledgement takes says nothing of the delay."""
    early = {number: appeared[number] - begun[number] for number in begun if appeared[number] - begun[number] < 1.99}
    assert early == {}


def test_a_delayed_member_shows_the_past(set_with_delayed):
    client = set_with_delayed.client()
    things = client.test.things
    delayed = set_with_delayed.members[2]
    past = delayed.direct.test.things
    begun = {}
    for number in range(10):
        begun[number] = time.monotonic()
        things.with_options(write_concern=everywhere(2)).insert_one({"_id": number})
    appeared = {}
    eventually(lambda: note_new(past, appeared) == 10)
    check_delay(begun, appeared)
    assert delayed.hello()["secondaryDelaySecs"] == 2
    assert delayed.hello()["secondary"] is True


def test_a_delayed_member_is_behind_in_status_and_in_write_concerns(set_with_delayed):
    things = set_with_delayed.client().test.things
    set_with_delayed.reconfigure(delay(3600))
    # Who waited for it would wait for an hour.
    things.with_options(write_concern=everywhere(2)).insert_one({"_id": 1})
    status = set_with_delayed.status()
    assert row(2, status)["optime"]["ts"] < row(0, status)["optime"]["ts"]
    assert row(2, status)["syncSourceHost"] in [member.host for member in set_with_delayed.members[:2]]
    set_with_delayed.reconfigure(delay(2))
    eventually(lambda: set_with_delayed.members[2].hello().get("secondaryDelaySecs") == 2)
    started = time.monotonic()
    things.with_options(write_concern=everywhere(3)).insert_one({"_id": 2})
    assert time.monotonic() - started > 1.5
    # It votes, and holds up the majority when it is needed for it.
    set_with_delayed.members[1].pause()
    started = time.monotonic()
    things.with_options(write_concern=MAJORITY).insert_one({"_id": 3})
    assert time.monotonic() - started > 1.5
    set_with_delayed.members[1].resume()


def delay(seconds):
    def change(config):
        config["members"][2]["secondaryDelaySecs"] = seconds

    return change


def test_a_delay_that_is_taken_back_ends_at_once(set_with_delayed):
    things = set_with_delayed.client().test.things
    set_with_delayed.reconfigure(delay(3600))
    eventually(lambda: set_with_delayed.members[2].hello().get("secondaryDelaySecs") == 3600)
    for number in range(100):
        things.with_options(write_concern=everywhere(2)).insert_one({"_id": number})
    assert set_with_delayed.members[2].direct.test.things.count_documents({}) == 0
    set_with_delayed.reconfigure(delay(0))
    eventually(lambda: set_with_delayed.members[2].direct.test.things.count_documents({}) == 100)
    assert "secondaryDelaySecs" not in set_with_delayed.members[2].hello()
    set_with_delayed.wait_for_equal_data("test")


def test_a_delayed_member_stays_delayed_over_failovers_and_restarts(set_with_delayed):
    things = set_with_delayed.client().test.things
    delayed = set_with_delayed.members[2]
    begun = {}

    def write(number):
        begun[number] = time.monotonic()
        things.with_options(write_concern=WriteConcern(w=1)).insert_one({"_id": number})

    for number in range(10):
        write(number)
    # What it held of the old primary's entries it gets from the new one.
    set_with_delayed.step_down()
    for number in range(10, 20):
        write(number)
    appeared = {}
    eventually(lambda: note_new(delayed.direct.test.things, appeared) == 20)
    check_delay(begun, appeared)
    # One that comes back empty copies what is there now, and is delayed from then on.
    delayed.kill()
    delayed.start()
    set_with_delayed.wait_until_healthy()
    delayed.forget_connections()
    assert delayed.direct.test.things.count_documents({}) == 20
    write(20)
    eventually(lambda: note_new(delayed.direct.test.things, appeared) == 21)
    check_delay(begun, appeared)


# Chains


def source_of(member):
    return member.command("replSetGetStatus")["syncSourceHost"]


def test_a_member_syncs_from_whom_it_is_told(replica_set, database_name):
    primary = replica_set.primary
    first, second = replica_set.secondaries
    eventually(lambda: source_of(second) == primary.host)
    reply = second.command("replSetSyncFrom", first.host)
    assert reply["syncFromRequested"] == first.host
    assert reply["prevSyncTarget"] == primary.host
    eventually(lambda: source_of(second) == first.host)
    # And the primary, which hears of it through the one between, counts it.
    things = replica_set.client()[database_name].things
    for number in range(20):
        things.with_options(write_concern=everywhere(3)).insert_one({"_id": number})
    assert source_of(second) == first.host
    eventually(lambda: row(second.index, replica_set.status())["syncSourceHost"] == first.host)
    assert row(second.index, replica_set.status())["syncSourceId"] == first.index
    # A source that dies is left.
    first.kill()
    eventually(lambda: source_of(second) == primary.host)
    things.with_options(write_concern=everywhere(2)).insert_one({"_id": 100})


def test_sync_from_refuses_what_cannot_be(replica_set):
    primary = replica_set.primary
    secondary = replica_set.secondaries[0]
    assert code_of(primary.command, "replSetSyncFrom", secondary.host) == 95
    assert code_of(secondary.command, "replSetSyncFrom", secondary.host) == 72
    assert code_of(secondary.command, "replSetSyncFrom", "127.0.0.1:1") == 74
    assert code_of(secondary.command, "replSetSyncFrom", 5) == 14


def test_without_chaining_everybody_follows_the_primary(replica_set):
    def chaining(allowed):
        def change(config):
            config["settings"]["chainingAllowed"] = allowed
        return change

    replica_set.reconfigure(chaining(False))
    try:
        first, second = replica_set.secondaries
        eventually(lambda: source_of(second) == replica_set.primary.host)
        replica_set.step_down()
        replica_set.wait_until_healthy()
        for member in replica_set.secondaries:
            eventually(lambda: source_of(member) == replica_set.primary.host)
    finally:
        replica_set.reconfigure(chaining(True))


# Bounded staleness


def test_reads_of_bounded_staleness_go_past_a_member_that_lags(make_replica_set):
    replica_set = make_replica_set(3)
    late = {"priority": 0, "secondaryDelaySecs": 3600, "tags": {"is": "late"}}
    replica_set.initiate(replica_set.config(m1={"priority": 0}, m2=late))
    things = replica_set.client().test.get_collection("things", write_concern=everywhere(2))
    primary, current, lagging = replica_set.members

    def lag():
        things.insert_one({})
        written = [member.hello()["lastWrite"]["lastWriteDate"] for member in (primary, lagging)]
        return (written[0] - written[1]).total_seconds()

    eventually(lambda: lag() > 12, seconds=30, what="a lag of twelve seconds")
    # Drivers add the time between two looks at a member: 80 s, and the bound is passed by a lag of more than 10 s.
    # A member that answers later than another, on a busy machine, is as near.
    client = replica_set.client(heartbeatFrequencyMS=80000, serverSelectionTimeoutMS=2000, localThresholdMS=60000)

    def readers(preference):
        collection = client.test.get_collection("things", read_preference=preference)
        found = set()
        for _ in range(40):
            cursor = collection.find().limit(1)
            list(cursor)
            found.add(cursor.address)
        return found

    assert readers(Secondary()) == {current.address, lagging.address}
    assert readers(Secondary(max_staleness=90)) == {current.address}
    assert readers(Secondary(max_staleness=120)) == {current.address, lagging.address}
    with pytest.raises(ServerSelectionTimeoutError):
        readers(Secondary(max_staleness=90, tag_sets=[{"is": "late"}]))
