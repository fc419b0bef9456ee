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
