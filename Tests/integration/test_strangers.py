"""Commands between members are for members: what others get that send them."""
import bson
import pymongo
import pytest
from conftest import eventually
from pymongo.errors import OperationFailure

FETCH = {"replSetFetchOplog": 1, "after": {"ts": bson.Timestamp(1, 1), "t": bson.Int64(0)},
         "lastKnownCommitted": {"ts": bson.Timestamp(0, 0), "t": bson.Int64(-1)}, "maxAwaitMillis": bson.Int64(0)}
FOR_FOLLOWERS = [
    FETCH, {"replSetGetPosition": 1}, {"replSetListCollections": 1},
    {"replSetCloneDocuments": 1, "ns": "a.b", "id": 1}, {"replSetCloneSessions": 1, "after": b""},
    {"replSetFindCommonPoint": 1, "optimes": []},
]
FOR_MEMBERS = FOR_FOLLOWERS + [
    {"replSetHeartbeat": "rs0"}, {"replSetRequestVotes": 1}, {"replSetUpdatePosition": 1},
]


@pytest.fixture
def connection(replica_set):
    """One connection to the primary, as long as the test lasts."""
    client = pymongo.MongoClient(*replica_set.primary.address, directConnection=True, maxPoolSize=1)
    yield client.admin
    client.close()


def refusal(connection, command):
    with pytest.raises(OperationFailure) as caught:
        connection.command(command)
    return caught.value.code, caught.value.details["errmsg"]


def introduce(connection, member_id, incarnation, set_name="rs0"):
    return connection.command({"hello": 1, "internalMember": {
        "setName": set_name, "memberId": member_id, "incarnation": incarnation}})


def incarnation_of(member):
    return member.direct.local["me"].find_one()["incarnation"]


@pytest.mark.parametrize("command", FOR_MEMBERS, ids=lambda command: next(iter(command)))
def test_who_has_not_introduced_itself_is_refused(connection, command):
    code, message = refusal(connection, command)
    assert code == 13
    assert "introduced" in message


def test_a_member_of_another_set_is_refused(replica_set, connection):
    with pytest.raises(OperationFailure) as caught:
        introduce(connection, 1, incarnation_of(replica_set.members[1]), set_name="other")
    assert caught.value.code == 108
    assert "other" in caught.value.details["errmsg"]
    # What follows is told the same, not that the connection has not introduced itself.
    code, message = refusal(connection, FETCH)
    assert code == 108 and "'rs0', not 'other'" in message


@pytest.mark.parametrize("command", FOR_FOLLOWERS, ids=lambda command: next(iter(command)))
def test_who_is_not_in_the_configuration_gets_no_data(replica_set, connection, command):
    introduce(connection, 42, incarnation_of(replica_set.secondaries[0]))
    code, message = refusal(connection, command)
    assert code == 13
    assert "42" in message and "configuration" in message


def test_an_earlier_life_of_a_member_gets_no_data(replica_set, connection):
    secondary = replica_set.secondaries[0]
    present = incarnation_of(secondary)
    introduce(connection, secondary.index, {
        **present, "nonce": bson.Int64(present["nonce"]), "startedAt": present["startedAt"].replace(year=2001)})
    code, message = refusal(connection, FETCH)
    assert code == 13
    assert "earlier life" in message
    # As itself it would be answered: its place in the log is not ours.
    introduce(connection, secondary.index, {**present, "nonce": bson.Int64(present["nonce"])})
    assert connection.command(FETCH)["outcome"] in ("stale", "diverged")


def test_a_member_that_was_left_out_gets_no_data(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    left_out = replica_set.members[2]
    # It does not hear that it was left out, and goes on asking.
    left_out.pause()
    replica_set.reconfigure(lambda config: config["members"].pop())
    client = pymongo.MongoClient(*replica_set.primary.address, directConnection=True, maxPoolSize=1)
    present = {"startedAt": bson.datetime.datetime(2026, 1, 1), "nonce": bson.Int64(5)}
    introduce(client.admin, 2, present)
    assert refusal(client.admin, FETCH)[0] == 13
    client.close()
    left_out.resume()
    eventually(lambda: "setName" not in left_out.hello())


@pytest.mark.parametrize("value", [
    5, "rs0", {}, {"setName": "rs0"}, {"setName": "rs0", "memberId": "one", "incarnation": {}},
    {"setName": "rs0", "memberId": 1, "incarnation": {"startedAt": 1, "nonce": 1}},
    {"setName": "rs0", "memberId": 2**40, "incarnation": {}},
])
def test_an_introduction_that_cannot_be_read_is_refused(connection, value):
    assert refusal(connection, {"hello": 1, "internalMember": value})[0] == 9
    assert refusal(connection, FETCH)[0] == 13


@pytest.mark.parametrize("command", [
    {**FETCH, "after": 5}, {"replSetCloneDocuments": 1}, {"replSetCloneDocuments": 1, "uuid": 5, "after": -1},
    {"replSetCloneSessions": 1}, {"replSetFindCommonPoint": 1}, {"replSetFindCommonPoint": 1, "optimes": [5]},
    {"replSetHeartbeat": "rs0", "from": 5}, {"replSetRequestVotes": 1, "term": "x"}, {"replSetUpdatePosition": 1},
], ids=lambda command: next(iter(command)))
def test_a_member_that_talks_nonsense_is_told_so(replica_set, connection, command):
    secondary = replica_set.secondaries[0]
    present = incarnation_of(secondary)
    introduce(connection, secondary.index, {**present, "nonce": bson.Int64(present["nonce"])})
    assert refusal(connection, command)[0] == 9
    assert replica_set.find_primary() is not None
