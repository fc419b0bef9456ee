"""OP_COMPRESSED: negotiated in hello, requests and replies of drivers, and what nobody should send."""

import struct
import zlib

import bson
import pymongo
import pytest

from test_handshake import message, read_reply, stream  # noqa: F401


@pytest.fixture(params=["snappy", "zlib", "zstd"])
def client(request, standalone_process):
    port = int(standalone_process.match.group(1))
    with pymongo.MongoClient("127.0.0.1", port, compressors=request.param, directConnection=True) as client:
        # The driver itself leaves out a compressor whose library it misses: then nothing would be tested.
        assert client.options.pool_options._compression_settings.compressors == [request.param]
        yield client


def test_documents_of_all_sizes_come_back(client):
    numbers = client.compression.numbers
    numbers.drop()
    numbers.insert_many([{"_id": i, "text": "word " * i} for i in range(500)])
    numbers.insert_one({"_id": "large", "text": "x" * 3_000_000})
    assert numbers.count_documents({}) == 501
    assert [d["_id"] for d in numbers.find({"_id": {"$lt": 500}}).sort("_id", 1)] == list(range(500))
    assert len(numbers.find_one({"_id": "large"})["text"]) == 3_000_000
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        numbers.insert_one({"_id": "large", "text": "y" * 1_000_000})


def compressed(plain, number=2, size=None, data=None):
    """A message as OP_COMPRESSED."""
    _, request_id, response_to, opcode = struct.unpack_from("<iiii", plain)
    body = plain[16:]
    data = zlib.compress(body) if data is None else data
    inside = struct.pack("<iiB", opcode, len(body) if size is None else size, number) + data
    return struct.pack("<iiii", 16 + len(inside), request_id, response_to, 2012) + inside


def hello(stream, compressors):  # noqa: F811
    stream.sendall(message({"hello": 1, "compression": compressors, "$db": "admin"}))
    return read_reply(stream)


def test_the_common_compressors_are_named_in_the_clients_order(stream):  # noqa: F811
    assert hello(stream, ["zlib", "lz9", "snappy"])["compression"] == ["zlib", "snappy"]


def test_a_reply_to_a_compressed_request_is_compressed(stream):  # noqa: F811
    hello(stream, ["zlib"])
    stream.sendall(compressed(message({"buildInfo": 1, "$db": "admin"})))
    head = stream.recv(16, 0x100)
    length, _, _, opcode = struct.unpack("<iiii", head)
    assert opcode == 2012
    rest = stream.recv(length - 16, 0x100)
    original, size, number = struct.unpack_from("<iiB", rest)
    body = zlib.decompress(rest[9:])
    assert (original, number, size) == (2013, 2, len(body))
    assert bson.decode(body[5:])["ok"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"number": 1},  # not agreed upon
        {"number": 9},
        {"size": 10},
        {"size": 10_000},
        {"size": 2**31 - 1},
        {"size": -1},
        {"data": b"no zlib at all"},
        {"data": b""},
    ],
)
def test_a_message_that_lies_closes_the_connection(stream, standalone, change):  # noqa: F811
    hello(stream, ["zlib"])
    stream.sendall(compressed(message({"ping": 1, "$db": "admin"}), **change))
    assert stream.recv(1) == b""
    assert standalone.admin.command("ping")["ok"] == 1


def test_nothing_compressed_is_taken_before_it_was_agreed_upon(stream):  # noqa: F811
    stream.sendall(compressed(message({"ping": 1, "$db": "admin"})))
    assert stream.recv(1) == b""
