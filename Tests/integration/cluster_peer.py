"""Speaks to nodes of a sharded cluster as another node of it does: over a connection that has introduced itself."""
import itertools
import socket
import struct

import bson


class CommandError(Exception):
    def __init__(self, reply):
        super().__init__(f"{reply.get('code')}: {reply.get('errmsg')}")
        self.reply = reply
        self.code = reply.get("code")


class Peer:
    """One connection. `kind` None: a client like any other."""

    def __init__(self, port, kind="router", cluster_id=None, name="test"):
        self.numbers = itertools.count(1)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        hello = {"hello": 1}
        if kind is not None:
            hello["internalCluster"] = {"clusterId": cluster_id, "kind": kind, "name": name}
        self.greeting = self.run(hello)

    def close(self):
        self.socket.close()

    def run(self, command, database="admin"):
        """Runs a command and returns its reply; raises when it failed."""
        reply = self.ask(command, database)
        if not reply.get("ok"):
            raise CommandError(reply)
        return reply

    def ask(self, command, database="admin"):
        number = next(self.numbers)
        body = b"\0\0\0\0\0" + bson.encode({**command, "$db": database})
        self.socket.sendall(struct.pack("<iiii", 16 + len(body), number, 0, 2013) + body)
        size = struct.unpack("<i", self._read(4))[0]
        message = self._read(size - 4)
        return bson.decode(message[17:])

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the node has closed the connection")
            data += part
        return data
