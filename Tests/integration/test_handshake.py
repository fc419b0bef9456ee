"""What the driver sees before its first command, and frames that no driver sends."""
import os
import random
import socket
import struct
import time

import bson
import pytest


def message(document, opcode=2013, flags=0):
    body = struct.pack("<I", flags) + b"\x00" + bson.encode(document)
    return struct.pack("<iiii", 16 + len(body), 1, 0, opcode) + body


def read_reply(stream):
    header = b""
    while len(header) < 16:
        part = stream.recv(16 - len(header))
        if not part:
            return None
        header += part
    length = struct.unpack("<i", header[:4])[0]
    body = b""
    while len(body) < length - 16:
        part = stream.recv(length - 16 - len(body))
        if not part:
            return None
        body += part
    return bson.decode(body[5:]) if struct.unpack("<i", header[12:])[0] == 2013 else bson.decode(body[20:])


@pytest.fixture
def stream(standalone_process):
    with socket.create_connection(("127.0.0.1", int(standalone_process.match.group(1))), timeout=5) as stream:
        yield stream


def test_hello_says_what_drivers_need(standalone):
    hello = standalone.admin.command("hello")
    assert hello["isWritablePrimary"] is True
    assert (hello["minWireVersion"], hello["maxWireVersion"]) == (0, 25)
    assert hello["maxBsonObjectSize"] == 16777216
    assert hello["maxMessageSizeBytes"] == 48000000
    assert hello["maxWriteBatchSize"] == 100000
    assert hello["logicalSessionTimeoutMinutes"] == 30
    assert standalone.server_info()["version"].startswith("8.0.")
    assert standalone.admin.command("ismaster")["ismaster"] is True


def test_op_query_hello_is_answered_with_op_reply(stream):
    query = bson.encode({"ismaster": 1, "helloOk": True})
    body = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + query
    stream.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2004) + body)
    reply = read_reply(stream)
    assert reply["ok"] == 1 and reply["ismaster"] is True and reply["helloOk"] is True


def test_diagnostics(standalone):
    admin = standalone.admin
    assert admin.command("ping")["ok"] == 1
    assert "parsed" in admin.command("getCmdLineOpts")
    assert admin.command("serverStatus")["storageEngine"]["name"] == "memory"
    assert admin.command("buildInfo")["versionArray"][0] == 8
    assert admin.command("getParameter", "*")["enableTestCommands"] is True
    assert "system" in admin.command("hostInfo")
    assert "insert" in admin.command("listCommands")["commands"]
    assert admin.command("connectionStatus")["authInfo"]["authenticatedUsers"] == []


def test_missing_db_is_named(stream):
    stream.sendall(message({"ping": 1}))
    reply = read_reply(stream)
    assert reply["code"] == 40414 and "$db" in reply["errmsg"]


def test_bad_db_is_refused(stream):
    stream.sendall(message({"ping": 1, "$db": "a b"}))
    assert read_reply(stream)["code"] == 73


def test_admin_only(stream):
    stream.sendall(message({"getParameter": "*", "$db": "test"}))
    assert read_reply(stream)["code"] == 13


@pytest.mark.parametrize("frame", [
    struct.pack("<iiii", 15, 1, 0, 2013),
    struct.pack("<iiii", -1, 1, 0, 2013),
    struct.pack("<iiii", 48000001, 1, 0, 2013),
    struct.pack("<iiii", 20, 1, 0, 1234) + b"abcd",
    message({"ping": 1, "$db": "admin"}, flags=1 << 4),
    struct.pack("<iiii", 16 + 4 + 1 + 4, 1, 0, 2013) + struct.pack("<I", 0) + b"\x00" + struct.pack("<i", 1000),
])
def test_lost_framing_closes_the_connection(stream, frame):
    stream.sendall(frame)
    assert read_reply(stream) is None


def test_invalid_bson_is_answered(stream):
    broken = bytearray(message({"ping": True, "$db": "admin"}))
    broken[21 + 4 + 6] = 9
    stream.sendall(bytes(broken))
    assert read_reply(stream)["code"] == 22
    stream.sendall(message({"ping": 1, "$db": "admin"}))
    assert read_reply(stream)["ok"] == 1


def test_half_a_message_then_silence_holds_nobody_up(stream, standalone):
    stream.sendall(message({"ping": 1, "$db": "admin"})[:20])
    assert standalone.admin.command("ping")["ok"] == 1


def test_random_frames_never_stop_the_server(standalone_process, standalone):
    seed = int(os.environ.get("QUORATE_FUZZ_SEED", "1"))
    generator = random.Random(seed)
    port = int(standalone_process.match.group(1))
    valid = [
        message({"hello": 1, "$db": "admin"}),
        message({"insert": "f", "documents": [{"a": 1, "b": [1, 2, {"c": "x"}]}], "$db": "fuzz"}),
        message({"find": "f", "filter": {"a": {"$gt": 1, "$in": [1, 2]}}, "sort": {"a": 1}, "$db": "fuzz"}),
        message({"update": "f", "updates": [{"q": {"a": 1}, "u": {"$inc": {"n": 1}}, "upsert": True}], "$db": "fuzz"}),
        message({"aggregate": "f", "pipeline": [{"$group": {"_id": "$a", "n": {"$sum": 1}}}], "cursor": {},
            "$db": "fuzz"}),
        message({"findAndModify": "f", "query": {"a": 1}, "update": {"$set": {"b.0": 2}}, "$db": "fuzz"}),
        message({"createIndexes": "f", "indexes": [{"key": {"a": 1}, "name": "a_1"}], "$db": "fuzz"}),
        message({"aggregate": "f", "pipeline": [
            {"$lookup": {"from": "f", "localField": "a", "foreignField": "n", "as": "x.y", "let": {"v": "$a"},
                         "pipeline": [{"$match": {"$expr": {"$eq": ["$a", "$$v"]}}}, {"$limit": 3}]}},
            {"$unionWith": {"coll": "f", "pipeline": [{"$sample": {"size": 2}}]}}, {"$unwind": "$x.y"}], "cursor": {},
            "$db": "fuzz"}),
        message({"explain": {"find": "f", "filter": {"a": 1}, "sort": {"n": 1}}, "verbosity": "executionStats",
            "$db": "fuzz"}),
        message({"bulkWrite": 1, "ops": [{"insert": 0, "document": {"a": 1}}, {"update": 0, "filter": {"a": 1},
                 "updateMods": {"$inc": {"n": 1}}, "multi": True},
                 {"delete": 0, "filter": {"n": {"$gt": 5}}, "multi": True}],
                 "nsInfo": [{"ns": "fuzz.f"}], "$db": "admin"}),
        message({"distinct": "f", "key": "b.c", "query": {"a": {"$exists": True}}, "$db": "fuzz"}),
        message({"count": "f", "query": {"a": {"$lt": 5}}, "skip": 1, "limit": 3, "$db": "fuzz"}),
        message({"collMod": "f", "validator": {"a": {"$type": "int"}}, "validationLevel": "moderate", "$db": "fuzz"}),
        message({"collStats": "f", "scale": 1, "$db": "fuzz"}),
        message({"aggregate": "f", "pipeline": [{"$limit": 9}, {"$merge": {"into": "g", "on": "_id", "whenMatched": [
            {"$set": {"x": "$$new.a"}}], "whenNotMatched": "insert", "let": {"new": "$$ROOT"}}}], "cursor": {},
            "$db": "fuzz"}),
        message({"aggregate": "f", "pipeline": [{"$limit": 9}, {"$out": "g"}], "cursor": {"batchSize": 1},
            "$db": "fuzz"}),
        message({"delete": "f", "deletes": [{"q": {"a": {"$mod": [2, 0]}}, "limit": 1}], "$db": "fuzz"}),
    ]
    until = time.monotonic() + float(os.environ.get("QUORATE_FUZZ_SECONDS", "4"))
    sent = 0
    while time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            stream.settimeout(0.05)
            for _ in range(generator.randrange(1, 6)):
                frame = bytearray(generator.choice(valid))
                for _ in range(generator.randrange(0, 4)):
                    kind = generator.randrange(3)
                    position = generator.randrange(4, len(frame))
                    if kind == 0:
                        frame[position] = generator.randrange(256)
                    elif kind == 1:
                        del frame[position:position + generator.randrange(1, 8)]
                    else:
                        frame[position:position] = bytes(
                            generator.randrange(256) for _ in range(generator.randrange(1, 8)))
                if generator.random() < 0.9:
                    frame[:4] = struct.pack("<i", len(frame))
                try:
                    stream.sendall(bytes(frame))
                    sent += 1
                    stream.recv(65536)
                except OSError:
                    break
    assert sent > 100
    assert standalone.admin.command("ping")["ok"] == 1
    assert standalone_process.process.poll() is None
    standalone.drop_database("fuzz")
