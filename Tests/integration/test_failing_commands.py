"""Commands that fail: what they still wait for, and what makes a command fail as a whole."""
import pytest
from conftest import code_of
from pymongo.errors import OperationFailure


def failure(database, command, **options):
    with pytest.raises(OperationFailure) as caught:
        database.command(command, **options)
    return caught.value.details


@pytest.mark.parametrize("of_members, code", [(4, 100), (3, 64)])
def test_a_command_that_fails_says_too_that_its_write_concern_was_not_met(
        replica_set, database_name, of_members, code):
    database = replica_set.client()[database_name]
    database.create_collection("taken")
    database.c.insert_one({"_id": 1})
    paused = replica_set.secondaries[0]
    if code == 64:
        paused.pause()
        # Something that it does not have.
        database.c.insert_one({"_id": 2})
    concern = {"w": of_members, "wtimeout": 200}
    try:
        for command, error in [
            ({"create": "taken", "capped": True, "size": 4096}, 48),
            ({"findAndModify": "c", "query": {"_id": 1}, "update": {"$inc": {"_id": 1}}}, 66),
            ({"collMod": "absent", "validator": {}}, 26),
            ({"dropIndexes": "c", "index": "absent"}, 27),
        ]:
            details = failure(database, {**command, "writeConcern": concern})
            assert (details["code"], details["writeConcernError"]["code"]) == (error, code), details
            # With a write concern that is met, the error alone.
            assert "writeConcernError" not in failure(database, {**command, "writeConcern": {"w": 2}})
        admin = database.client.admin
        rename = {"renameCollection": f"{database_name}.c", "to": f"{database_name}.taken", "writeConcern": concern}
        details = failure(admin, rename)
        assert (details["code"], details["writeConcernError"]["code"]) == (48, code)
        # What is wrong with the form of a command is said at once.
        assert "writeConcernError" not in failure(database, {"create": "d", "nonsense": 1, "writeConcern": concern})
    finally:
        if code == 64:
            paused.resume()


def test_an_unknown_stage_in_an_update_fails_the_command_before_anything_is_done(database):
    database.c.insert_many([{"_id": 1}, {"_id": 2}])
    updates = [{"q": {"_id": 1}, "u": {"$set": {"x": 1}}}, {"q": {"_id": 2}, "u": [{"$nonsense": 1}]}]
    for ordered in (True, False):
        assert code_of(database.command, {"update": "c", "updates": updates, "ordered": ordered}) == 40324
    assert list(database.c.find()) == [{"_id": 1}, {"_id": 2}]
    # A stage that is there and may not stand in an update is its statement's error.
    updates[1]["u"] = [{"$match": {}}]
    reply = database.command({"update": "c", "updates": updates})
    assert (reply["n"], [error["index"] for error in reply["writeErrors"]]) == (1, [1])


def test_commands_to_test_the_stable_api_with(make_replica_set):
    replica_set = make_replica_set(1, arguments=["--set", "enableTestCommands=1"])
    replica_set.initiate()
    member = replica_set.members[0]
    strict = {"apiVersion": "1", "apiStrict": True}
    careful = {"apiVersion": "1", "apiDeprecationErrors": True}
    for name, strictly, carefully in [
        ("testVersion2", 323, None), ("testVersions1And2", None, None), ("testDeprecation", None, 324),
        ("testDeprecationInVersion2", None, None),
    ]:
        assert member.command(name)["ok"] == 1
        for options, code in ((strict, strictly), (careful, carefully)):
            if code:
                assert code_of(member.command, {name: 1, **options}) == code
            else:
                assert member.command({name: 1, **options})["ok"] == 1
    # A fail point that names no commands means none.
    member.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": {"closeConnection": True}})
    assert member.command("ping")["ok"] == 1
    member.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_parameters_that_are_missing_are_refused_by_name_and_a_standalone_keeps_its_version(standalone):
    command = standalone.admin.command
    assert code_of(command, {"setParameter": 1, "ingressConnectionEstablishmentRateLimiterEnabled": True}) == 115
    assert code_of(command, {"setParameter": 1, "nonsense": True}) == 72
    assert list(standalone.admin["system.version"].find()) == [
        {"_id": "featureCompatibilityVersion", "version": "8.0"}]
