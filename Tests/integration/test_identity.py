"""Who is behind the names of a configuration: members under other names, and no member twice."""
import pymongo
import pytest
from conftest import code_of, eventually
from pymongo.write_concern import WriteConcern

# 127.0.0.1 written as a number: no localhost reference by its looks, and it stays on this machine.
NUMBER = "2130706433"
EVERYWHERE = WriteConcern(3, wtimeout=10000)


@pytest.fixture
def only_member(make_replica_set):
    """A set of one that was initiated without a configuration."""
    replica_set = make_replica_set(1)
    member = replica_set.members[0]
    reply = member.command("replSetInitiate")
    assert reply["me"] == member.host
    eventually(lambda: member.hello()["isWritablePrimary"])
    member.direct.test.things.insert_one({"_id": 1})
    return member


def config_of(member):
    config = member.command("replSetGetConfig")["config"]
    config["version"] += 1
    return config


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["localhost", NUMBER])
def test_the_name_that_initiation_chose_is_mended(only_member, name, force):
    config = config_of(only_member)
    config["members"][0]["host"] = f"{name}:{only_member.port}"
    assert only_member.command({"replSetReconfig": config, "force": force})["ok"] == 1
    eventually(lambda: only_member.hello()["isWritablePrimary"])
    hello = only_member.hello()
    assert hello["me"] == hello["primary"] == f"{name}:{only_member.port}"
    assert hello["hosts"] == [f"{name}:{only_member.port}"]
    client = pymongo.MongoClient(f"mongodb://{name}:{only_member.port}/?replicaSet=rs0")
    client.test.things.with_options(write_concern=WriteConcern("majority")).insert_one({"_id": 2})
    assert client.test.things.count_documents({}) == 2
    client.close()
    # And back.
    config = config_of(only_member)
    config["members"][0]["host"] = only_member.host
    assert only_member.command({"replSetReconfig": config, "force": force})["ok"] == 1
    eventually(lambda: only_member.hello()["me"] == only_member.host and only_member.hello()["isWritablePrimary"])


@pytest.mark.parametrize("force", [False, True])
def test_the_only_member_is_not_added_to_itself(only_member, force):
    config = config_of(only_member)
    config["members"].append({"_id": 1, "host": f"localhost:{only_member.port}"})
    assert code_of(only_member.command, {"replSetReconfig": config, "force": force}) == 93
    assert only_member.command("replSetGetConfig")["config"]["version"] == config["version"] - 1
    assert only_member.hello()["isWritablePrimary"]


@pytest.mark.parametrize("force", [False, True])
def test_a_name_that_leads_to_nobody_is_not_taken_for_the_only_member(only_member, force):
    config = config_of(only_member)
    config["members"][0]["host"] = "localhost:1"
    assert code_of(only_member.command, {"replSetReconfig": config, "force": force}) == 74
    assert only_member.hello()["isWritablePrimary"]


@pytest.mark.parametrize(
    "which, name", [("primary", "localhost"), ("secondary", "localhost"), ("all", "localhost"), ("all", NUMBER)])
def test_members_of_three_change_their_names(make_replica_set, which, name):
    replica_set = make_replica_set()
    replica_set.initiate()
    primary = replica_set.primary
    term = replica_set.status()["term"]
    things = replica_set.client().test.things.with_options(write_concern=EVERYWHERE)
    things.insert_one({"_id": 1})
    indices = {"primary": [primary.index], "secondary": [replica_set.secondaries[0].index], "all": [0, 1, 2]}[which]
    names = [f"{name}:{member.port}" if member.index in indices else member.host for member in replica_set.members]

    def rename(config):
        for entry in config["members"]:
            entry["host"] = names[entry["_id"]]

    replica_set.reconfigure(rename)

    def agree():
        hellos = [member.hello() for member in replica_set.members]
        return (all(hello.get("hosts") == names for hello in hellos)
                and [hello["me"] for hello in hellos] == names
                and all(hello.get("primary") == names[primary.index] for hello in hellos)
                and replica_set.status()["votingMembersCount"] == 3)

    eventually(agree, what="all to agree on the new names")
    # Nobody was elected anew, and nobody copied its data again.
    assert replica_set.status()["term"] == term
    client = pymongo.MongoClient(f"mongodb://{names[0]}/?replicaSet=rs0")
    client.test.things.with_options(write_concern=EVERYWHERE).insert_one({"_id": 2})
    nodes = {(name if member.index in indices else "127.0.0.1", member.port) for member in replica_set.members}
    eventually(lambda: client.nodes == nodes)
    client.close()
    # Over a failover too.
    primary.command("replSetStepDown", 60)
    eventually(lambda: replica_set.find_primary() not in (None, primary), what="another primary")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("which", ["primary", "secondary"])
def test_no_member_of_three_is_added_again_under_another_name(replica_set, which, force):
    member = replica_set.primary if which == "primary" else replica_set.secondaries[0]
    config = config_of(replica_set.primary)
    config["members"].append({"_id": 7, "host": f"localhost:{member.port}"})
    assert code_of(replica_set.primary.command, {"replSetReconfig": config, "force": force}) == 93
    assert len(replica_set.status()["members"]) == 3


def test_a_new_member_is_not_added_under_two_names(make_replica_set):
    replica_set = make_replica_set(2)
    first, second = replica_set.members
    both = [{"_id": 0, "host": first.host}, {"_id": 1, "host": second.host},
            {"_id": 2, "host": f"localhost:{second.port}"}]
    assert code_of(first.command, {"replSetInitiate": {"_id": "rs0", "members": both}}) == 93
    first.command({"replSetInitiate": {"_id": "rs0", "members": both[:1]}})
    eventually(lambda: first.hello()["isWritablePrimary"])
    config = config_of(first)
    config["members"] = [{**config["members"][0]}, *({**entry, "votes": 0, "priority": 0} for entry in both[1:])]
    assert code_of(first.command, {"replSetReconfig": config}) == 93


def test_a_member_of_another_set_is_not_taken_in(make_replica_set):
    replica_set, other = make_replica_set(1), make_replica_set(1, name="other")
    for one in (replica_set, other):
        one.initiate()
    config = config_of(replica_set.primary)
    config["members"].append({"_id": 1, "host": other.members[0].host, "votes": 0, "priority": 0})
    assert code_of(replica_set.primary.command, {"replSetReconfig": config}) == 103
    # Nor is one of a set with the same name.
    namesake = make_replica_set(1)
    namesake.initiate()
    config["members"][1]["host"] = namesake.members[0].host
    assert code_of(replica_set.primary.command, {"replSetReconfig": config}) == 103
    assert len(replica_set.status()["members"]) == 1


def test_localhost_stands_beside_no_other_name(make_replica_set):
    replica_set = make_replica_set(2)
    first, second = replica_set.members
    members = [{"_id": 0, "host": f"localhost:{first.port}"}, {"_id": 1, "host": f"elsewhere.example:{second.port}"}]
    assert code_of(first.command, {"replSetInitiate": {"_id": "rs0", "members": members}}) == 93
    replica_set.initiate()
    config = config_of(replica_set.primary)
    config["members"].append({"_id": 2, "host": "elsewhere.example:27017", "votes": 0, "priority": 0})
    for force in (False, True):
        assert code_of(replica_set.primary.command, {"replSetReconfig": config, "force": force}) == 93
