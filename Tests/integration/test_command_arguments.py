"""What commands take for numbers, and the codes with which they refuse the rest."""
import pytest
from bson import Binary, Decimal128, Int64
from conftest import code_of


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"count": 1}, 73),
        ({"distinct": "c", "key": "a", "hint": 1}, 9),
        ({"find": "c", "hint": True}, 9),
        ({"count": "c", "limit": "x"}, 2),
        ({"count": "c", "maxTimeMS": "x"}, 14),
        ({"count": "c", "maxTimeMS": 1.5}, 9),
        ({"count": "c", "readConcern": {"level": 1}}, 14),
        ({"count": "c", "readConcern": {"level": "x"}}, 2),
        ({"count": "c", "readConcern": {"provenance": "x"}}, 2),
        ({"aggregate": 2, "pipeline": [], "cursor": {}}, 2),
        ({"aggregate": "c", "pipeline": [], "cursor": {}, "let": {"a.b": 1}}, 9),
        ({"aggregate": "c", "pipeline": [], "cursor": {}, "let": {"NOW": 1}}, 4738901),
        ({"aggregate": "c", "pipeline": [], "cursor": {}, "writeConcern": {"j": "x"}}, 14),
        ({"findAndModify": "c", "update": 1}, 9),
        ({"insert": "c", "documents": [{}], "writeConcern": {"w": 2}}, 2),
        ({"insert": "c", "documents": [{}], "writeConcern": {"w": "none"}}, 2),
        ({"insert": "c", "documents": [{}], "writeConcern": {"wtimeout": 2**31}}, 9),
        ({"dropDatabase": 2}, 5255100),
        ({"dropDatabase": "x"}, 14),
        ({"create": "x", "capped": True, "size": 0}, 2),
        ({"create": "x", "capped": True, "size": 4096, "max": 2**31}, 2),
        ({"create": "x", "idIndex": {"key": {"_id": 1}}}, 9),
        ({"create": "x", "idIndex": {"key": {"_id": 1}, "name": "_id_", "unique": True}}, 197),
        ({"create": "x", "idIndex": {"key": {"_id": 1}, "name": "_id_", "v": 3}}, 67),
        ({"create": "x", "viewOn": 1}, 14),
        ({"create": "x", "changeStreamPreAndPostImages": {}}, 40414),
        ({"createIndexes": "c", "indexes": [{"key": {"a": 1}, "name": "a", "expireAfterSeconds": "x"}]}, 67),
        ({"createIndexes": "c", "indexes": [{"key": {"a": 1}, "name": "a", "hidden": 1}]}, 14),
    ],
    ids=str,
)
def test_an_argument_is_refused_with_mongodbs_code(database, command, code):
    database.c.insert_one({"_id": 1})
    assert code_of(database.command, command) == code


def test_numbers_with_fractions_are_cut_or_rounded(database):
    database.c.insert_many([{"_id": n} for n in range(5)])
    assert database.command("count", "c", limit=2.9)["n"] == 2
    assert database.command("count", "c", skip=Decimal128("1.5"))["n"] == 3
    assert database.command("count", "c", skip=float("nan"))["n"] == 5
    assert database.command("count", "c", skip=-0.5)["n"] == 5
    cursor = database.command("aggregate", "c", pipeline=[], cursor={"batchSize": 2.9})["cursor"]
    assert len(cursor["firstBatch"]) == 2
    database.command("killCursors", "c", cursors=[cursor["id"]])
    assert database.command({"insert": "c", "documents": [{"_id": 9}], "writeConcern": {"wtimeout": "x"}})["n"] == 1


def test_the_values_of_distinct_come_in_their_order(database):
    database.c.insert_many([{"a": [3, None]}, {"a": 1}, {"a": "x"}, {"a": [2, 1]}])
    assert database.command("distinct", "c", key="a")["values"] == [None, 1, 2, 3, "x"]


def test_a_hinted_partial_index_decides_what_is_found(database):
    database.c.insert_many([{"_id": n, "a": n} for n in range(6)])
    database.c.create_index("a", partialFilterExpression={"a": {"$gt": 3}})
    assert database.command("count", "c", query={"a": {"$gte": 0}}, hint="a_1")["n"] == 2
    assert database.command("count", "c", query={"a": {"$gte": 0}})["n"] == 6


def test_explain_shows_the_shape_of_a_query(database):
    def hashes(command):
        answer = database.command("explain", command, verbosity="queryPlanner")
        return answer["queryShapeHash"], answer["queryPlanner"]["planCacheShapeHash"]

    one, two = hashes({"find": "c", "filter": {"a": 1, "b": 2}}), hashes({"find": "c", "filter": {"a": 5, "b": 6}})
    turned, other = hashes({"find": "c", "filter": {"b": 2, "a": 1}}), hashes({"find": "c", "filter": {"c": 1}})
    assert one == two and one[1] == turned[1] and one[0] != turned[0] and one[1] != other[1]


def test_functions_are_exact_in_a_pipeline(database):
    def value(expression):
        pipeline = [{"$project": {"_id": 0, "v": expression}}]
        database.c.replace_one({"_id": 1}, {"_id": 1, "a": [1, 5, 9]}, upsert=True)
        return next(iter(database.c.aggregate(pipeline)))["v"]

    assert value({"$sqrt": Decimal128("2")}) == Decimal128("1.414213562373095048801688724209698")
    assert value({"$bitXor": [12, Int64(10)]}) == Int64(6)
    assert value({"$median": {"input": "$a", "method": "approximate"}}) == 5.0
    assert value({"$toUUID": "01020304-0506-0708-090a-0b0c0d0e0f10"}) == Binary(bytes(range(1, 17)), 4)
    assert value({"$toHashedIndexKey": 1}) == 5902408780260971510
