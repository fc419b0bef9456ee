"""Exhaust cursors: one getMore, and batches until there are no more."""
import socket
import struct

import bson
import pytest
from conftest import eventually
from pymongo.cursor import CursorType

MORE_TO_COME, EXHAUST_ALLOWED = 2, 1 << 16


class Raw:
    """One connection that sends messages with flags of its own, and takes replies one by one."""

    def __init__(self, client):
        host, port = client.address
        self.socket = socket.create_connection((host, port), 20)
        self.requests = 0

    def send(self, command, flags=0):
        self.requests += 1
        body = bson.encode(command)
        self.socket.sendall(
            struct.pack("<iiiiIB", 21 + len(body), 1000 + self.requests, 0, 2013, flags, 0) + body)
        return 1000 + self.requests

    def take(self):
        header = self._bytes(16)
        length, identity, response_to, _ = struct.unpack("<iiii", header)
        rest = self._bytes(length - 16)
        return identity, response_to, struct.unpack("<I", rest[:4])[0], bson.decode(rest[5:])

    def _bytes(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            assert chunk, "the server closed the connection"
            data += chunk
        return data


@pytest.fixture
def many(database):
    database.c.insert_many([{"_id": i, "pad": "x" * 100} for i in range(5000)])
    return database


def begin(raw, database, **options):
    raw.send({"find": "c", "batchSize": 10, **options, "$db": database.name})
    return raw.take()[3]["cursor"]["id"]


def test_one_getmore_is_answered_with_all_batches(many):
    raw = Raw(many.client)
    cursor = begin(raw, many)
    last = raw.send({"getMore": cursor, "collection": "c", "batchSize": 500, "$db": many.name}, EXHAUST_ALLOWED)
    found = 10
    while True:
        identity, response_to, flags, reply = raw.take()
        assert response_to == last
        last = identity
        found += len(reply["cursor"]["nextBatch"])
        assert reply["ok"] == 1
        assert (flags & MORE_TO_COME != 0) == (reply["cursor"]["id"] != 0)
        if not flags & MORE_TO_COME:
            break
    assert found == 5000
    raw.send({"ping": 1, "$db": "admin"})
    assert raw.take()[3]["ok"] == 1


def test_a_client_that_does_not_read_is_not_sent_more_than_it_may_leave(many):
    """It has to ask again: the server keeps no more than a few batches for it."""
    many.big.insert_many([{"_id": i, "pad": "x" * 1_000_000} for i in range(64)])
    raw = Raw(many.client)
    raw.send({"find": "big", "batchSize": 1, "$db": many.name})
    cursor = raw.take()[3]["cursor"]["id"]
    found, asked = 1, 0
    while cursor:
        asked += 1
        raw.send({"getMore": cursor, "collection": "big", "batchSize": 1, "$db": many.name}, EXHAUST_ALLOWED)
        flags = MORE_TO_COME
        # Nothing is read before the server has stopped of itself: it takes commands of others.
        many.client.admin.command("ping")
        while flags & MORE_TO_COME:
            _, _, flags, reply = raw.take()
            found += len(reply["cursor"]["nextBatch"])
            cursor = reply["cursor"]["id"]
    assert found == 64
    assert asked < 64


def test_an_error_ends_the_stream(many):
    raw = Raw(many.client)
    cursor = begin(raw, many, filter={"$expr": {"$lt": [{"$divide": [1, {"$subtract": [700, "$_id"]}]}, 5]}})
    raw.send({"getMore": cursor, "collection": "c", "batchSize": 100, "$db": many.name}, EXHAUST_ALLOWED)
    flags, replies = MORE_TO_COME, 0
    while flags & MORE_TO_COME:
        _, _, flags, reply = raw.take()
        replies += 1
    assert replies > 3
    assert reply["ok"] == 0 and reply["code"] in (2, 16608, 4848401)
    assert many.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"] == 0


def test_a_cursor_goes_with_its_connection(many):
    raw = Raw(many.client)
    cursor = begin(raw, many)
    raw.send({"getMore": cursor, "collection": "c", "batchSize": 1, "$db": many.name}, EXHAUST_ALLOWED)
    raw.take()
    raw.socket.close()
    eventually(lambda: many.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"] == 0)


def test_a_driver_reads_with_an_exhaust_cursor(many):
    assert sum(1 for _ in many.c.find(batch_size=7, cursor_type=CursorType.EXHAUST)) == 5000
    assert sum(1 for _ in many.c.find({"_id": {"$gte": 2000}}, batch_size=700, cursor_type=CursorType.EXHAUST)) == 3000
    cursor = many.c.find(batch_size=7, cursor_type=CursorType.EXHAUST)
    next(cursor)
    cursor.close()
    assert many.c.find_one({"_id": 1})["_id"] == 1
