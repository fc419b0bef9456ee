"""Writes as they stand on the wire: document sequences, messages without a reply, and where errors are said."""
import struct

import bson
from test_handshake import stream  # noqa: F401  (the fixture)

MORE_TO_COME = 2


def message(body, *sequences, flags=0, request_id=7):
    """An OP_MSG with a body and document sequences of a name and documents."""
    payload = struct.pack("<I", flags) + b"\0" + bson.encode(body)
    for name, documents in sequences:
        section = name.encode() + b"\0" + b"".join(bson.encode(one) for one in documents)
        payload += b"\1" + struct.pack("<i", len(section) + 4) + section
    return struct.pack("<iiii", len(payload) + 16, request_id, 0, 2013) + payload


def run(connection, body, *sequences, flags=0):
    connection.sendall(message(body, *sequences, flags=flags))
    if flags & MORE_TO_COME:
        return None
    header = receive(connection, 16)
    length, _, response_to, opcode = struct.unpack("<iiii", header)
    payload = receive(connection, length - 16)
    assert (opcode, response_to) == (2013, 7)
    return bson.decode(payload[5:])


def receive(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        assert chunk, "the connection was closed"
        data += chunk
    return data


def test_statements_come_as_sequence_or_array(stream, database):  # noqa: F811
    name = database.name
    sequence = ("documents", [{"_id": i} for i in range(5)])
    assert run(stream, {"insert": "c", "$db": name}, sequence) == {"n": 5, "ok": 1.0}
    updates = [{"q": {"_id": i}, "u": {"$set": {"x": i}}} for i in range(3)]
    assert run(stream, {"update": "c", "$db": name}, ("updates", updates)) == {"n": 3, "nModified": 3, "ok": 1.0}
    assert run(stream, {"update": "c", "updates": updates, "$db": name}) == {"n": 3, "nModified": 0, "ok": 1.0}
    deletes = [{"q": {"_id": 1}, "limit": 1}, {"q": {"x": {"$exists": False}}, "limit": 0}]
    assert run(stream, {"delete": "c", "$db": name}, ("deletes", deletes)) == {"n": 3, "ok": 1.0}
    reply = run(
        stream, {"bulkWrite": 1, "$db": "admin"}, ("ops", [{"insert": 0, "document": {"_id": 9}}]),
        ("nsInfo", [{"ns": f"{name}.c"}]))
    assert (reply["nInserted"], reply["nErrors"], reply["cursor"]["id"]) == (1, 0, 0)
    assert reply["cursor"]["firstBatch"] == [{"ok": 1.0, "idx": 0, "n": 1}]


def test_statements_that_are_given_twice_are_refused(stream, database):  # noqa: F811
    reply = run(stream, {"insert": "c", "documents": [{"_id": 1}], "$db": database.name}, ("documents", [{"_id": 2}]))
    assert reply["ok"] == 0 and reply["code"] == 9
    assert database.c.count_documents({}) == 0


def test_errors_of_statements_and_of_commands(stream, database):  # noqa: F811
    name = database.name
    reply = run(stream, {"insert": "c", "ordered": False, "$db": name},
        ("documents", [{"_id": 1}, {"_id": 1}, {"_id": 2}]))
    assert (reply["ok"], reply["n"]) == (1, 2)
    error, = reply["writeErrors"]
    assert (error["index"], error["code"], error["keyPattern"], error["keyValue"]) == (1, 11000, {"_id": 1}, {"_id": 1})
    reply = run(stream, {"update": "c", "updates": [{"q": {}, "u": {"$bad": {"a": 1}}}], "$db": name})
    assert reply["ok"] == 1 and reply["writeErrors"][0]["code"] == 9 and "errmsg" not in reply
    for body, code in (
        ({"insert": "c", "nonsense": 1, "documents": [{}]}, 40415), ({"insert": "", "documents": [{}]}, 73),
        ({"insert": "c", "documents": 5}, 14), ({"insert": "c", "ordered": 5, "documents": [{}]}, 14),
        ({"insert": "c", "documents": [{}], "writeConcern": {"w": 2}}, 2),
    ):
        reply = run(stream, {**body, "$db": name})
        assert (reply["ok"], reply["code"]) == (0, code), (body, reply)
        assert "writeErrors" not in reply and "n" not in reply


def test_what_asks_for_no_reply_gets_none(stream, database):  # noqa: F811
    name = database.name
    # Plain, failing, unknown, and one that is long enough to become a task.
    run(stream, {"insert": "c", "documents": [{"_id": 1}], "$db": name}, flags=MORE_TO_COME)
    run(stream, {"insert": "c", "documents": [{"_id": 1}], "$db": name}, flags=MORE_TO_COME)
    run(stream, {"nonsense": 1, "$db": name}, flags=MORE_TO_COME)
    run(stream, {"insert": "c", "$db": name}, ("documents", [{"_id": i, "x": "y" * 500} for i in range(2, 1000)]),
        flags=MORE_TO_COME)
    run(stream, {"update": "c", "updates": [{"q": {}, "u": {"$set": {"z": 1}}, "multi": True}], "$db": name},
        flags=MORE_TO_COME)
    assert run(stream, {"count": "c", "query": {"z": 1}, "$db": name}) == {"n": 999, "ok": 1.0}


def test_requests_sent_together_are_answered_in_order(stream, database):  # noqa: F811
    name = database.name
    frames = b"".join(
        message({"insert": "c", "documents": [{"_id": i}], "$db": name}, request_id=100 + i) for i in range(50))
    frames += message({"aggregate": "c", "pipeline": [{"$group": {"_id": None, "n": {"$sum": 1}}}], "cursor": {},
        "$db": name},
                      request_id=999)
    stream.sendall(frames)
    seen = []
    for _ in range(51):
        length, _, response_to, _ = struct.unpack("<iiii", receive(stream, 16))
        last = bson.decode(receive(stream, length - 16)[5:])
        seen.append(response_to)
    assert seen == [*range(100, 150), 999]
    assert last["cursor"]["firstBatch"] == [{"_id": None, "n": 50}]


# Clients of old


def query(connection, namespace, body, flags=4):
    """Sends an OP_QUERY; returns the flags and the document of the OP_REPLY."""
    payload = struct.pack("<i", flags) + namespace.encode() + b"\0" + struct.pack("<ii", 0, -1) + bson.encode(body)
    connection.sendall(struct.pack("<iiii", len(payload) + 16, 7, 0, 2004) + payload)
    length, _, response_to, opcode = struct.unpack("<iiii", receive(connection, 16))
    assert (opcode, response_to) == (1, 7)
    reply = receive(connection, length - 16)
    assert struct.unpack("<qii", reply[4:20]) == (0, 0, 1)
    return struct.unpack("<i", reply[:4])[0], bson.decode(reply[20:])


def test_old_drivers_connect_by_op_query(stream):  # noqa: F811
    for name in ("buildInfo", "buildinfo"):
        flags, reply = query(stream, "admin.$cmd", {name: 1})
        assert flags == 8 and reply["ok"] == 1 and reply["version"].startswith("8.0")
    for name in ("saslStart", "saslContinue", "authenticate"):
        assert query(stream, "admin.$cmd", {name: 1})[1]["code"] == 18
    assert query(stream, "admin.$cmd", {"logout": 1})[1]["ok"] == 1
    assert query(stream, "shop.$cmd", {"find": "orders"})[1]["code"] == 352


def test_an_op_query_on_a_collection_fails_and_the_connection_lives(stream):  # noqa: F811
    flags, reply = query(stream, "shop.orders", {"_id": 1})
    assert flags & 2 and reply["code"] == 5739101 and "OP_QUERY" in reply["$err"]
    assert run(stream, {"ping": 1, "$db": "admin"})["ok"] == 1


def test_who_has_not_said_hello_ok_reads_the_words_of_old(replica_set):
    import socket

    secondary = replica_set.secondaries[0]

    def messages(*greeting):
        with socket.create_connection(secondary.address, timeout=5) as connection:
            for words in greeting:
                assert run(connection, {**words, "$db": "admin"})["ok"] == 1
            write = run(connection, {"insert": "c", "documents": [{"_id": 1}], "$db": "old"})
            read = run(connection, {"find": "c", "$db": "old"})
        assert (write["code"], read["code"]) == (10107, 13435)
        return write["errmsg"], read["errmsg"]

    of_old = ("not master", "not master and slaveOk=false")
    of_today = ("not primary", "not primary and secondaryOk=false")
    assert messages() == of_old
    assert messages({"isMaster": 1}) == of_old
    assert messages({"isMaster": 1, "helloOk": True}) == of_today
    assert messages({"hello": 1}) == of_today


def test_the_error_of_an_old_client_has_version_and_labels(replica_set):
    import socket
    import uuid

    with socket.create_connection(replica_set.secondaries[0].address, timeout=5) as connection:
        reply = run(connection, {
            "insert": "c", "documents": [{"_id": 1}], "$db": "old", "txnNumber": bson.Int64(1),
            "lsid": {"id": bson.Binary(uuid.uuid4().bytes, 4)}})
    assert reply["errmsg"] == "not master" and "counter" in reply["topologyVersion"]
    assert reply["errorLabels"] == ["RetryableWriteError"]


def test_a_retried_statement_is_named_in_the_reply(replica_set, database_name):
    import uuid

    database = replica_set.primary.direct[database_name]
    session = {"id": bson.Binary(uuid.uuid4().bytes, 4)}

    def twice(command, number):
        command = {**command, "lsid": session, "txnNumber": bson.Int64(number)}
        return database.command(command), database.command(command)

    first, second = twice({"insert": "c", "documents": [{"_id": 1}]}, 1)
    assert "retriedStmtIds" not in first and second["retriedStmtIds"] == [0] and second["n"] == 1
    first, second = twice({"insert": "c", "documents": [{"_id": i} for i in (2, 3)], "stmtIds": [5, 6]}, 2)
    assert "retriedStmtIds" not in first and len(second["retriedStmtIds"]) == 2 and second["n"] == 2
    first, second = twice({"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}]}, 3)
    assert "retriedStmtIds" not in first and second["retriedStmtIds"] == [0]
    first, second = twice({"findAndModify": "c", "query": {"_id": 1}, "update": {"$inc": {"n": 1}}}, 4)
    assert "retriedStmtId" not in first and second["retriedStmtId"] == 0
    first, second = twice({"delete": "c", "deletes": [{"q": {"_id": 2}, "limit": 1}, {"q": {"_id": 3}, "limit": 1}]}, 5)
    assert "retriedStmtIds" not in first and second["retriedStmtIds"] == [0, 1]
    assert database.c.find_one({"_id": 1})["n"] == 2 and database.c.count_documents({}) == 1


def test_a_write_concern_error_says_whose_concern_it_was(replica_set, database_name):
    import pymongo

    collection = replica_set.client()[database_name].c

    def failure(**concern):
        try:
            collection.with_options(write_concern=pymongo.WriteConcern(**concern)).insert_one({})
        except pymongo.errors.WriteConcernError as error:
            return error.code, error.details["errInfo"]["writeConcern"]
        return None

    assert failure(w="nowhere") == (79, {"w": "nowhere", "wtimeout": 0, "provenance": "clientSupplied"})
    assert failure(w=9) == (100, {"w": 9, "wtimeout": 0, "provenance": "clientSupplied"})


def test_validate_refuses_what_it_does_not_do(database):
    database.c.insert_one({"_id": 1})
    assert database.command("validate", "c", full=True)["valid"]
    assert database.command("validate", "c", background=True)["valid"]
    from conftest import code_of

    assert code_of(database.command, "validate", "c", full=True, background=True) == 72
    assert code_of(database.command, "validate", "c", repair=True) == 115
    assert code_of(database.command, "validate", "c", nonsense=True) == 40415
