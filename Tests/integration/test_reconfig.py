"""Changing a set while it works: members that come, go and change, and configurations that are refused."""
import copy
import threading

import pytest
from conftest import Member, code_of, eventually
from pymongo.errors import OperationFailure
from pymongo.write_concern import WriteConcern

MAJORITY = WriteConcern("majority", wtimeout=10000)


class Load:
    """One writer that counts in majority writes, through whatever happens to the set."""

    def __init__(self, replica_set, database_name):
        self.things = replica_set.client(serverSelectionTimeoutMS=20000)[database_name].load.with_options(
            write_concern=WriteConcern("majority", wtimeout=20000))
        self.acknowledged = []
        self.failures = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        number = 0
        while not self.is_over.is_set():
            try:
                self.things.insert_one({"_id": number, "text": "x" * 100})
                self.acknowledged.append(number)
            except Exception as error:  # Reported by the test.
                self.failures.append((number, error))
            number += 1

    def __enter__(self):
        self.thread.start()
        eventually(lambda: len(self.acknowledged) > 20)
        return self

    def __exit__(self, *_):
        seen = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) > seen + 20 or self.failures, what="writes that go on")
        self.is_over.set()
        self.thread.join(30)

    def check(self):
        assert self.failures == []
        found = {document["_id"] for document in self.things.find({}, {"_id": 1})}
        assert set(self.acknowledged) <= found


def add_member(replica_set, **fields):
    """Starts one more process and has the set take it in."""
    index = len(replica_set.members)
    member = Member(index, replica_set.name)
    member.start()
    replica_set.members.append(member)
    replica_set.reconfigure(lambda config: config["members"].append({"_id": index, "host": member.host, **fields}))
    return member


def remove_member(replica_set, member):
    def leave_out(config):
        config["members"] = [entry for entry in config["members"] if entry["_id"] != member.index]

    replica_set.reconfigure(leave_out)
    replica_set.members.remove(member)


def state_of(member, replica_set):
    return next(row["stateStr"] for row in replica_set.status()["members"] if row["_id"] == member.index)


def test_members_come_and_go_while_a_client_writes(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    with Load(replica_set, "test") as load:
        added = [add_member(replica_set), add_member(replica_set)]
        replica_set.wait_until_healthy()
        assert replica_set.status()["votingMembersCount"] == 5
        leaving = next(member for member in replica_set.secondaries if member not in added)
        remove_member(replica_set, leaving)
        eventually(lambda: state_code(leaving) == 10, what="the one that was left out knows it")
        replica_set.wait_until_healthy()
        old = replica_set.step_down()
        replica_set.wait_until_healthy()
        remove_member(replica_set, old)
        replica_set.wait_until_healthy()
    load.check()
    assert replica_set.status()["votingMembersCount"] == 3
    replica_set.wait_for_equal_data("test")
    for member in (leaving, old):
        member.close()


def state_code(member):
    """The state that a member shows to itself; one that was left out has no status."""
    try:
        return member.command("replSetGetStatus")["myState"]
    except OperationFailure as error:
        return 10 if error.code == 93 else None


def test_a_member_that_was_left_out_is_offline_until_it_is_taken_back(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    client = replica_set.client()
    client.test.things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 1})
    member = replica_set.members[2]
    remove_member(replica_set, member)
    eventually(lambda: state_code(member) == 10)
    version = replica_set.primary.command("replSetGetConfig")["config"]["version"]
    removed = [line for line in member.log().splitlines() if "now REMOVED" in line]
    assert len(removed) == 1 and f"(version {version}, " in removed[0] and member.host in removed[0], removed
    hello = member.hello()
    assert hello["secondary"] is False and "setName" not in hello and hello["info"]
    assert code_of(member.direct.test.command, {"find": "things", "$readPreference": {"mode": "nearest"}}) == 13436
    eventually(lambda: client.nodes == {m.address for m in replica_set.members})
    client.test.things.insert_one({"_id": 2})
    replica_set.members.append(member)
    replica_set.reconfigure(lambda config: config["members"].append({"_id": 2, "host": member.host}))
    replica_set.wait_until_healthy()
    member.forget_connections()
    eventually(lambda: client.nodes == {m.address for m in replica_set.members})
    replica_set.wait_for_equal_data("test")
    client.test.things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 3})


def test_a_new_voter_does_not_vote_before_it_has_the_data(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    client = replica_set.client()
    client.test.things.insert_many({"_id": number, "text": "x" * 500} for number in range(20000))
    version = replica_set.status()["members"][0]["configVersion"]
    member = Member(1, "rs0")
    member.start()
    member.pause()
    replica_set.members.append(member)
    replica_set.reconfigure(lambda config: config["members"].append({"_id": 1, "host": member.host}))
    # It hangs, and nobody misses it: it has no vote yet.
    status = replica_set.members[0].command("replSetGetStatus")
    assert (status["votingMembersCount"], status["majorityVoteCount"]) == (1, 1)
    client.test.things.with_options(write_concern=MAJORITY).insert_one({"_id": "meanwhile"})
    stored = replica_set.members[0].direct.local["system.replset"].find_one()
    assert [entry.get("newlyAdded", False) for entry in stored["members"]] == [False, True]
    # Users do not see it.
    config = replica_set.members[0].command("replSetGetConfig")["config"]
    assert "newlyAdded" not in config["members"][1] and config["members"][1]["votes"] == 1
    member.resume()
    replica_set.wait_until_healthy()
    status = replica_set.status()
    assert (status["votingMembersCount"], status["majorityVoteCount"]) == (2, 2)
    # One reconfiguration took it in, one more gave it its vote.
    assert status["members"][0]["configVersion"] == version + 2
    replica_set.wait_for_equal_data("test")


def test_step_up_puts_the_term_on_the_configuration(replica_set):
    before = replica_set.primary.command("replSetGetConfig")["config"]
    replica_set.step_down()
    replica_set.wait_until_healthy()
    after = replica_set.primary.command("replSetGetConfig")["config"]
    assert after["term"] > before["term"]
    assert after["version"] == before["version"]
    assert after["term"] == replica_set.status()["term"]


def test_forcing_frees_a_set_that_has_lost_its_majority(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    replica_set.client().test.things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": 1})
    survivor = replica_set.secondaries[0]
    for member in list(replica_set.members):
        if member is not survivor:
            member.kill()
            replica_set.members.remove(member)
    eventually(lambda: "primary" not in survivor.hello())
    config = survivor.command("replSetGetConfig")["config"]
    before = config["version"]
    config["members"] = [entry for entry in config["members"] if entry["_id"] == survivor.index]
    config["version"] += 1
    assert code_of(survivor.command, {"replSetReconfig": config}) == 10107
    assert survivor.command({"replSetReconfig": config, "force": True})["ok"] == 1
    eventually(lambda: replica_set.find_primary() is survivor, what="a primary by itself")
    after = survivor.command("replSetGetConfig")["config"]
    # A leap, so that no configuration that others still hold is newer.
    assert after["version"] > before + 1000
    client = replica_set.client()
    assert client.test.things.find_one() == {"_id": 1}
    client.test.things.with_options(write_concern=MAJORITY).insert_one({"_id": 2})


def test_a_reconfiguration_waits_for_the_one_before_it(replica_set):
    primary = replica_set.primary
    for secondary in replica_set.secondaries:
        secondary.pause()
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["settings"]["catchUpTimeoutMillis"] = 500
    # Nobody else has it: it is installed, and not committed. Losing the majority ends the wait.
    code = code_of(primary.command, {"replSetReconfig": config, "maxTimeMS": 300})
    assert code in (50, 308)
    config["version"] += 1
    assert code_of(primary.command, {"replSetReconfig": config, "maxTimeMS": 100}) in (50, 308, 189, 10107)
    for member in replica_set.members:
        member.resume()
    replica_set.wait_until_healthy()
    replica_set.reconfigure(lambda config: config["settings"].update(catchUpTimeoutMillis=-1))


def test_commitment_is_told_by_the_primary_alone(replica_set):
    primary = replica_set.primary
    ask = {"replSetGetConfig": 1, "commitmentStatus": True}
    eventually(lambda: primary.command(ask)["commitmentStatus"] is True)
    assert "commitmentStatus" not in primary.command("replSetGetConfig")
    assert "commitmentStatus" not in primary.command({**ask, "commitmentStatus": False})
    assert code_of(replica_set.secondaries[0].command, ask) == 10107
    assert code_of(primary.command, {**ask, "commitmentStatus": "yes"}) == 14
    for member in replica_set.secondaries:
        member.pause()
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    assert code_of(primary.command, {"replSetReconfig": config, "maxTimeMS": 200}) in (50, 308)
    assert primary.command(ask)["commitmentStatus"] is False


# What is refused


def members_of(config, *changes):
    """`config` with the n-th change applied to its n-th member."""
    config = copy.deepcopy(config)
    for entry, change in zip(config["members"], changes):
        entry.update(change)
    return config


BAD_MEMBERS = {
    "duplicate _id": ([{}, {"_id": 0}], 93, "members.1._id"),
    "duplicate host": ([{}, {"host": None}], 93, "members.1.host"),
    "hidden with priority": ([{}, {"hidden": True}], 93, "members.1.priority"),
    "delayed with priority": ([{}, {"secondaryDelaySecs": 5}], 93, "members.1.priority"),
    "no vote with priority": ([{}, {"votes": 0}], 93, "members.1.priority"),
    "two votes": ([{}, {"votes": 2}], 93, "members.1.votes"),
    "arbiter with priority": ([{}, {"arbiterOnly": True, "priority": 2}], 93, "members.1.priority"),
    "arbiter with tags": ([{}, {"arbiterOnly": True, "priority": 0, "tags": {"dc": "ny"}}], 93, "members.1.tags"),
    "arbiter without a vote": ([{}, {"arbiterOnly": True, "priority": 0, "votes": 0}], 93, "members.1.votes"),
    "arbiter with a delay": (
        [{}, {"arbiterOnly": True, "priority": 0, "secondaryDelaySecs": 1}], 93, "members.1.secondaryDelaySecs"),
    "two delays": ([{}, {"secondaryDelaySecs": 0, "slaveDelay": 5, "priority": 0}], 93, "members.1.slaveDelay"),
    "negative delay": ([{}, {"secondaryDelaySecs": -1, "priority": 0}], 93, "members.1.secondaryDelaySecs"),
    "priority too high": ([{}, {"priority": 1001}], 93, "members.1.priority"),
    "priority of a wrong type": ([{}, {"priority": "high"}], 93, "members.1.priority"),
    "tag that is no string": ([{}, {"tags": {"dc": 1}}], 93, "members.1.tags.dc"),
    "tags of a wrong type": ([{}, {"tags": "ny"}], 93, "members.1.tags"),
    "unknown field": ([{}, {"colour": "red"}], 93, "members.1.colour"),
    "newlyAdded from a user": ([{}, {"newlyAdded": True}], 93, "newlyAdded"),
    "host of a wrong type": ([{}, {"host": 5}], 93, "members.1.host"),
    "host that is none": ([{}, {"host": "a b c:x"}], 93, "members.1.host"),
    "_id of a wrong type": ([{}, {"_id": "one"}], 93, "members.1._id"),
    "_id below zero": ([{}, {"_id": -1}], 93, "members.1._id"),
}


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_a_bad_member_is_refused_and_named(replica_set, name):
    changes, code, field = BAD_MEMBERS[name]
    primary = replica_set.primary
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    changes = [{key: config["members"][0]["host"] if value is None else value for key, value in change.items()}
               for change in changes]
    for force in (False, True):
        with pytest.raises(OperationFailure) as caught:
            primary.command({"replSetReconfig": members_of(config, *changes), "force": force})
        assert caught.value.code == code
        assert field in caught.value.details["errmsg"]
    assert primary.command("replSetGetConfig")["config"]["version"] == config["version"] - 1


def extra(count, **fields):
    return [{"_id": 100 + number, "host": f"127.0.0.1:{number + 1}", **fields} for number in range(count)]


BAD_CONFIGS = {
    "another set's name": (lambda c: c.update(_id="other"), 103, "_id"),
    "version of now": (lambda c: c.update(version=c["version"] - 1), 103, "version"),
    "version of a wrong type": (lambda c: c.update(version="two"), 93, "version"),
    "version zero": (lambda c: c.update(version=0), 93, "version"),
    "no members": (lambda c: c.update(members=[]), 93, "members"),
    "members of a wrong type": (lambda c: c.update(members={"a": 1}), 93, "members"),
    "a member of a wrong type": (lambda c: c["members"].append("127.0.0.1:1"), 93, "members.3"),
    "unknown field": (lambda c: c.update(colour="red"), 93, "colour"),
    "unknown setting": (lambda c: c["settings"].update(colour="red"), 93, "settings.colour"),
    "setting of a wrong type": (
        lambda c: c["settings"].update(electionTimeoutMillis="soon"), 93, "settings.electionTimeoutMillis"),
    "setting out of range": (
        lambda c: c["settings"].update(heartbeatIntervalMillis=0), 93, "settings.heartbeatIntervalMillis"),
    "another protocol version": (lambda c: c.update(protocolVersion=0), 93, "protocolVersion"),
    "nobody can be elected": (lambda c: [m.update(priority=0) for m in c["members"]], 93, "members"),
    "eight voters": (lambda c: c["members"].extend(extra(5)), 93, "members"),
    "fifty-one members": (lambda c: c["members"].extend(extra(48, votes=0, priority=0)), 93, "members"),
    "two voters more": (lambda c: c["members"].extend(extra(2)), 93, "members"),
    "two voters less": (
        lambda c: [m.update(votes=0, priority=0) for m in c["members"] if not m["is_primary"]], 93, "members"),
    "a mode that nobody can meet": (
        lambda c: c["settings"].update(getLastErrorModes={"far": {"dc": 2}}), 93, "settings.getLastErrorModes.far"),
    "a default of an unknown mode": (
        lambda c: c["settings"].update(getLastErrorDefaults={"w": "nowhere"}), 93, "settings.getLastErrorDefaults.w"),
    "an unacknowledged default": (
        lambda c: c["settings"].update(getLastErrorDefaults={"w": 0}), 93, "settings.getLastErrorDefaults.w"),
    "another replica set id": (
        lambda c: c["settings"].update(replicaSetId=__import__("bson").ObjectId()), 103, "settings.replicaSetId"),
    "ids exchanged": (
        lambda c: [m.update(_id=2 - m["_id"]) for m in c["members"]], 103, "_id"),
    "the primary made unelectable": (
        lambda c: [m.update(priority=0) for m in c["members"] if m["is_primary"]], 104, "electable"),
    "the primary left out": (
        lambda c: c.update(members=[m for m in c["members"] if not m["is_primary"]]), 74, "this node"),
    "arbiterOnly changed": (
        lambda c: next(m for m in c["members"] if not m["is_primary"]).update(arbiterOnly=True, priority=0), 103,
        "arbiterOnly"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_a_bad_configuration_is_refused_and_named(replica_set, name):
    change, code, field = BAD_CONFIGS[name]
    primary = replica_set.primary
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    version = config["version"]
    for member in config["members"]:
        member["is_primary"] = member["host"] == primary.host
    change(config)
    for member in config["members"]:
        if isinstance(member, dict):
            member.pop("is_primary", None)
    with pytest.raises(OperationFailure) as caught:
        primary.command({"replSetReconfig": config})
    assert (caught.value.code, field in caught.value.details["errmsg"]) == (code, True), caught.value.details
    assert primary.command("replSetGetConfig")["config"]["version"] == version - 1


def test_initiating_refuses_what_cannot_be(make_replica_set):
    replica_set = make_replica_set(2)
    first, second = replica_set.members
    config = replica_set.config()

    def refused(config, by=first):
        with pytest.raises(OperationFailure) as caught:
            by.command({"replSetInitiate": config})
        return caught.value.code, caught.value.details["errmsg"]

    code, message = refused({**config, "_id": "other"})
    assert code == 93 and "other" in message and "rs0" in message
    code, message = refused({**config, "version": 2})
    assert code == 103 and "version" in message
    code, message = refused({**config, "members": [{"_id": 0, "host": second.host}]})
    assert code == 93 and "this node" in message
    code, message = refused(members_of(config, {"priority": 0}))
    assert code == 104
    code, message = refused(members_of(config, {}, {"host": "127.0.0.1:1"}))
    assert code == 74 and "127.0.0.1:1" in message
    assert refused("rs0")[0] == 14
    assert refused({**config, "members": "all"})[0] == 93
    # None of it has left anything behind.
    replica_set.initiate()
    code, _ = refused(config)
    assert code == 23
    code, _ = refused(config, by=second)
    assert code == 23
