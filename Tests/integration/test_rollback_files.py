"""Documents that a rollback takes back are BSON files in the member's directory, each document once."""
import pathlib

import bson
import pytest
from conftest import eventually
from test_file_storage import FileSet
from test_rollback import LOST, Diverged


def kept_documents(member):
    """What the rollback files of a member hold, by the collection's UUID."""
    directory = pathlib.Path(member.arguments[member.arguments.index("--data") + 1]) / "rollback"
    found = {}
    for path in sorted(directory.glob("*/removed.*.bson")):
        with path.open("rb") as file:
            found.setdefault(path.parent.name, []).extend(bson.decode_file_iter(file))
    return found


def uuid_of(member, database, collection):
    description, = member.direct[database].list_collections(filter={"name": collection})
    return str(description["info"]["uuid"].as_uuid())


@pytest.fixture(params=["undisturbed", "killed meanwhile"])
def diverged(tmp_path, request):
    replica_set = FileSet(tmp_path)
    try:
        diverged = Diverged(replica_set)
        if request.param == "undisturbed":
            diverged.rejoin()
        else:
            diverged.old.resume()
            eventually(lambda: "rollback file of" in diverged.old.log(), 40, "the beginning of the rollback")
            diverged.old.kill()
            diverged.old.forget_connections()
            diverged.old.start()
            replica_set.wait_until_healthy(40)
            replica_set.wait_for_equal_data("shop", 20)
        yield diverged
    finally:
        replica_set.close()


def test_every_lost_document_is_in_the_files_once(diverged):
    kept = kept_documents(diverged.old)
    orders = kept[uuid_of(diverged.old, "shop", "orders")]
    written = {1000 + i for i in range(LOST)}
    left = {d["_id"] for d in diverged.client.shop.orders.find()}
    assert {0, 1, 2, "new"} <= left
    lost = {d["_id"] for d in orders}
    assert len(lost) == len(orders) > LOST / 2
    assert lost - {"bait", 1} == written - left
    assert next(d for d in orders if d["_id"] == 1) == {"_id": 1, "by": "old"}
    assert next(d for d in orders if isinstance(d["_id"], int) and d["_id"] >= 1000).keys() == {"_id", "a"}
    assert "rollback" not in diverged.old.direct.local.list_collection_names()
    for member in diverged.set.members:
        if member is not diverged.old:
            assert kept_documents(member) == {}


def test_without_the_parameter_nothing_is_kept(tmp_path):
    replica_set = FileSet(tmp_path, arguments=("--set", "createRollbackDataFiles=false"))
    try:
        diverged = Diverged(replica_set)
        diverged.rejoin()
        assert kept_documents(diverged.old) == {}
        assert "createRollbackDataFiles is off" in diverged.old.log()
        parameter = {"getParameter": 1, "createRollbackDataFiles": 1}
        assert diverged.old.command(parameter)["createRollbackDataFiles"] is False
        assert diverged.old.command({"setParameter": 1, "createRollbackDataFiles": True})["was"] is False
        assert diverged.old.command(parameter)["createRollbackDataFiles"] is True
    finally:
        replica_set.close()
