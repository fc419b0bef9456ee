"""A service that is no data node, behind the same frontend: PyMongo talks to it."""

import os
import pathlib
import subprocess

import pymongo
import pytest


@pytest.fixture
def echo():
    program = pathlib.Path(os.environ["QUORATE"]).with_name("echo-service")
    if not program.exists():
        pytest.skip(f"{program} is not built (swift build --build-tests)")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        with pymongo.MongoClient("127.0.0.1", port, directConnection=True) as client:
            yield client
        process.stdin.close()
        process.wait(timeout=30)


def test_pymongo_talks_to_a_service_without_data(echo):
    assert echo.admin.command("ping")["ok"] == 1
    hello = echo.admin.command("hello")
    assert hello["isWritablePrimary"] and hello["maxWireVersion"] == 25
    assert echo.admin.command("echo", [1, {"a": 2}])["echo"] == [1, {"a": 2}]
    long = "x" * 100_000
    assert echo.admin.command("echoLater", long)["echo"] == long


def test_what_it_does_not_have_is_refused(echo):
    with pytest.raises(pymongo.errors.OperationFailure, match="no such command") as refused:
        list(echo.shop.orders.find())
    assert refused.value.code == 59
