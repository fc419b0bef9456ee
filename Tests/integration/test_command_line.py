"""The program as a user meets it: what it prints, how it ends, what it says when it cannot do what it was asked."""
import json
import re
import signal
import socket
import subprocess

import pymongo
import pytest

from conftest import PROGRAM, ROOT, Process, eventually

COMMANDS = [[], ["up"], ["up", "replica-set"], ["node"], ["bench"], ["status"], ["simulate"], ["plugins"]]
READY = r"ready: (mongodb://\S+)"


def run(*arguments, timeout=20):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


def assert_usage_error(result, *words):
    """One line on standard error, nothing on standard output, status 64."""
    assert result.returncode == 64, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("quorate: ")
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_version_names_both_versions():
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("quorate ") and "MongoDB 8.0" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_there_for_every_command(command):
    result = run(*command, "--help")
    assert result.returncode == 0
    assert "usage: " + " ".join(["quorate", *command]) in result.stdout
    assert result.stderr == ""
    assert max(len(line) for line in result.stdout.splitlines()) <= 140


def test_without_a_command_the_help_is_shown():
    assert run().stdout == run("--help").stdout


def test_plugins_lists_every_part_with_its_options():
    output = run("plugins").stdout
    for part in ["memory", "socket", "loopback", "fast", "mongodb", "fixed", "least-lag", "round-robin"]:
        assert f"  {part}: " in output
    assert "--set fixed." in output


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nodee"], ["unknown command 'nodee'", "did you mean 'node'?"]),
        (["up", "replicaset"], ["did you mean 'replica-set'?"]),
        (["node", "--repl-set", "rs0"], ["unknown option '--repl-set'", "did you mean '--replset'?"]),
        (["node", "--storage", "memmory"], ["--storage must be one of", "did you mean 'memory'?"]),
        (["node", "--transport", "sokcet"], ["did you mean 'socket'?"]),
        (["up", "replica-set", "--election-policy", "fsat"], ["did you mean 'fast'?"]),
        (["node", "--port", "99999"], ["--port", "99999"]),
        (["node", "--port", "abc"], ["--port", "abc"]),
        (["node", "--port"], ["--port needs a value"]),
        (["up", "replica-set", "--members", "0"], ["--members", "from 1 to 7"]),
        (["up", "replica-set", "--members", "9"], ["--members", "from 1 to 7"]),
        (["up", "replica-set", "--members", "7", "--arbiters", "1"], ["at most 7"]),
        (["node", "--set", "fixed"], ["PART.OPTION=VALUE"]),
        (["node", "--set", "fxied.member=1"], ["unknown part 'fxied'", "did you mean 'fixed'?"]),
        (["node", "--set", "fixed.membre=1"], ["no option 'membre'"]),
        (["node", "--set", "fixed.member=1"], ["not in use", "--election-policy fixed"]),
        (["node", "--read-selector", "least-lags"], ["did you mean 'least-lag'?"]),
        (["up", "replica-set", "--read-selector", "mongdb"], ["did you mean 'mongodb'?"]),
        (["node", "--port", "0", "--data", "/tmp/x", "--storage", "memory"], ["'memory' keeps no files"]),
        (["up", "replica-set", "--port", "0", "--dbpath", "/tmp/x", "--storage", "memory"], ["keeps no files"]),
        (["node", "--port", "0", "--storage", "file"], ["needs a directory (--data)"]),
        (["node", "--port", "0", "--data", "/tmp/x", "--dbpath", "/tmp/y"], ["different directories"]),
        (["node", "--port", "0", "--data", ""], ["must not be empty"]),
        (["node", "--set", "enableTestCommands=2"], ["0 or 1"]),
        (["node", "--oplog-size", "0"], ["--oplog-size", "from 1 to"]),
        (["up", "replica-set", "--port", "0", "--default-write-concern", "9"], ["--default-write-concern 9"]),
        (["up", "replica-set", "--port", "0", "--default-write-concern", "most"], ["'most'"]),
        (["node", "--log-level", "loud"], ["--log-level must be one of"]),
        (["node", "--port", "0", "--replset", ""], ["--replset must not be empty"]),
        (["node", "--port", "0", "--replset", "rs0/127.0.0.1:1"], ["--replset must not contain '/'"]),
        (["up", "replica-set", "--port", "0", "--name", "a/b"], ["--name must not contain '/'"]),
        (["node", "extra"], ["unexpected argument 'extra'"]),
        (["bench"], ["missing URI"]),
        (["bench", "localhost:27017"], ["mongodb://"]),
        (["bench", "mongodb://user:secret@localhost"], ["authentication"]),
        (["bench", "mongodb://localhost", "--workload", "raed"], ["did you mean 'read'?"]),
        (["status"], ["missing URI"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_said_in_one_line(arguments, words):
    assert_usage_error(run(*arguments), *words)


def test_a_bad_option_of_a_part_is_a_usage_error():
    result = run(
        "node", "--port", 0, "--election-policy", "fast", "--replset", "rs0", "--set", "fast.minimumDelayMillis=x")
    assert_usage_error(result, "minimumDelayMillis", "not 'x'")


def test_a_port_in_use_is_a_usage_error(taken_port):
    assert_usage_error(run("node", "--port", taken_port), "address already in use", str(taken_port))
    assert_usage_error(run("up", "replica-set", "--port", taken_port), "address already in use", str(taken_port))


def test_an_address_that_is_not_here_is_a_usage_error():
    assert_usage_error(run("node", "--host", "192.0.2.1", "--port", 0), "192.0.2.1")


def test_nobody_to_measure_or_to_ask_ends_with_status_1():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"mongodb://127.0.0.1:{probe.getsockname()[1]}/"
        for command in ["bench", "status"]:
            result = run(command, uri)
            assert result.returncode == 1
            assert result.stdout == ""
            assert "refused" in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("what", [["node"], ["up", "replica-set"]], ids=" ".join)
def test_a_signal_stops_it_in_good_order(what, number):
    process = Process(*what, "--port", 0, ready=r"mongodb://\S+")
    process.signal(number)
    assert process.process.wait(30) == 0
    assert process.errors() == ""


def test_a_node_gives_its_port_back():
    first = Process("node", "--port", 0, ready=r"mongodb://127\.0\.0\.1:(\d+)/")
    port = first.match.group(1)
    assert first.stop() == 0
    second = Process("node", "--port", port, ready=r"mongodb://127\.0\.0\.1:(\d+)/")
    assert second.match.group(1) == port
    second.stop()


@pytest.mark.parametrize("members", [1, 3, 5])
def test_up_is_ready_when_it_says_so(members):
    process = Process("up", "replica-set", "--members", members, "--port", 0, "--name", "mine", ready=READY)
    try:
        with pymongo.MongoClient(process.match.group(1), serverSelectionTimeoutMS=5000) as client:
            client.shop.orders.insert_one({"_id": 1})
            assert client.shop.orders.find_one({"_id": 1}) == {"_id": 1}
            hello = client.admin.command("hello")
            assert hello["setName"] == "mine" and len(hello["hosts"]) == members
    finally:
        status = process.stop()
    assert status == 0


def test_the_line_for_python_works_as_pasted():
    process = Process("up", "replica-set", "--port", 0, ready=r"from Python:\s+(.*)")
    try:
        client = eval(process.match.group(1), {"pymongo": pymongo})
        client.shop.orders.insert_one({"total": 59.99})
        assert [order["total"] for order in client.shop.orders.find()] == [59.99]
        client.close()
    finally:
        process.stop()


def test_the_example_of_the_readme_works_as_pasted(capsys):
    """All of it but the ports, which may be taken here."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    process = Process("up", "replica-set", "--port", 0, ready=READY)
    try:
        uri, found = re.subn(r"mongodb://127[^\"]*", process.match.group(1), example)
        assert found == 1
        names = {}
        exec(uri, names)
        names["client"].close()
        assert [eval(line)["total"] for line in capsys.readouterr().out.splitlines()] == [40, 35, 20]
    finally:
        process.stop()


def test_members_listen_on_the_ports_behind_the_first():
    base = free_range(3)
    process = Process("up", "replica-set", "--port", base, ready=READY)
    try:
        assert process.match.group(1) == (
            "mongodb://" + ",".join(f"127.0.0.1:{base + i}" for i in range(3)) + "/?replicaSet=rs0"
        )
    finally:
        process.stop()


def free_range(count):
    """A port with free ones behind it."""
    for base in range(31000, 32000, count):
        try:
            sockets = [socket.create_server(("127.0.0.1", base + i)) for i in range(count)]
        except OSError:
            continue
        for each in sockets:
            each.close()
        return base
    raise AssertionError("no free ports")


def test_members_can_talk_inside_the_process_and_clients_still_come_in():
    process = Process("up", "replica-set", "--transport", "loopback", "--port", 0, ready=READY)
    try:
        with pymongo.MongoClient(process.match.group(1), w="majority", serverSelectionTimeoutMS=5000) as client:
            client.shop.orders.insert_many([{"_id": i} for i in range(10)])
            assert len(list(client.shop.orders.find())) == 10
    finally:
        assert process.stop() == 0


def test_arbiters_vote_and_hold_no_data():
    process = Process("up", "replica-set", "--members", 2, "--arbiters", 1, "--port", 0, ready=READY)
    try:
        with pymongo.MongoClient(process.match.group(1), serverSelectionTimeoutMS=5000) as client:
            states = [member["stateStr"] for member in client.admin.command("replSetGetStatus")["members"]]
            assert sorted(states) == ["ARBITER", "PRIMARY", "SECONDARY"]
    finally:
        assert process.stop() == 0


def test_the_oplogs_size_and_the_default_write_concern_are_set_by_flag():
    process = Process(
        "up", "replica-set", "--port", 0, "--oplog-size", 5, "--default-write-concern", 2, ready=READY)
    try:
        with pymongo.MongoClient(process.match.group(1), serverSelectionTimeoutMS=5000) as client:
            assert client.local.command("collStats", "oplog.rs")["maxSize"] == 5 * 2**20
            reply = client.admin.command("getDefaultRWConcern")
            assert reply["defaultWriteConcern"] == {"w": 2, "wtimeout": 0}
            assert reply["defaultWriteConcernSource"] == "global"
    finally:
        assert process.stop() == 0


def test_settings_reach_the_server():
    process = Process("node", "--port", 0, "--set", "enableTestCommands=1", ready=r"(mongodb://\S+)")
    try:
        with pymongo.MongoClient(process.match.group(1), directConnection=True) as client:
            arguments = client.admin.command("getCmdLineOpts")["argv"]
            assert arguments[1:] == ["node", "--port", "0", "--set", "enableTestCommands=1"]
    finally:
        process.stop()


@pytest.fixture(scope="module")
def running_set():
    process = Process("up", "replica-set", "--port", 0, ready=READY)
    yield process.match.group(1)
    process.stop()


def test_status_shows_the_members(running_set):
    result = run("status", running_set)
    assert result.returncode == 0, result
    lines = result.stdout.splitlines()
    assert lines[0].startswith("rs0, term ")
    assert sum("PRIMARY" in line for line in lines) == 1
    assert sum("SECONDARY" in line for line in lines) == 2


def test_every_log_line_says_which_member_it_is_of():
    process = Process("up", "replica-set", "--port", 0, "--name", "mine", "--log-level", "info", ready=READY)
    try:
        lines = process.errors().splitlines()
    finally:
        process.stop()
    found = [re.match(r"\S+Z [DIWE] [a-z ]+ (mine-\d): (.*)", line) for line in lines]
    assert all(found), lines
    assert {match[1] for match in found} == {"mine-0", "mine-1", "mine-2"}
    assert [match[2] for match in found].count("now PRIMARY") == 1


def test_status_says_that_a_member_which_was_never_reached_is_down(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    # It takes connections and answers nothing: until the first heartbeat is given up, the server calls it STARTUP.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host = f"127.0.0.1:{mute.getsockname()[1]}"
        replica_set.reconfigure(
            lambda config: config["members"].append({"_id": 7, "host": host, "votes": 0, "priority": 0}))
        seen = set()

        def row_of_the_dead():
            lines = run("status", f"mongodb://{replica_set.members[0].host}/").stdout.splitlines()
            row, = [re.split(r"\s{2,}", line) for line in lines if host in line]
            assert (row[0], row[1], *row[3:]) == ("7", host, "down", "-", "-", "-")
            seen.add(row[2])
            return "(not reachable/healthy)" in seen

        eventually(row_of_the_dead)
        assert "STARTUP" in seen


def test_status_of_a_standalone_says_that_it_is_none(standalone_process):
    result = run("status", f"mongodb://127.0.0.1:{standalone_process.match.group(1)}/")
    assert result.returncode == 1
    assert "not running with --replset" in result.stderr.lower()


@pytest.mark.parametrize("workload", ["insert", "read", "update", "mix-a", "mix-b"])
def test_bench_measures_each_workload(running_set, workload):
    result = run(
        "bench", running_set, "--workload", workload, "--seconds", 1, "--warmup", 0, "--keys", 200, "--connections", 4,
        "--json",
    )  # fmt: skip
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert report["workload"] == workload
    assert report["errors"] == 0 and report["first_error"] is None
    assert report["operations"] > 100
    assert 0 < report["p50_us"] <= report["p95_us"] <= report["p99_us"] <= report["p99_9_us"] <= report["max_us"]


def test_bench_finds_the_primary_from_a_secondary_and_leaves_nothing_behind(running_set):
    with pymongo.MongoClient(running_set) as client:
        client.admin.command("ping")
        host, port = next(iter(client.secondaries))
        result = run("bench", f"mongodb://{host}:{port}/", "--seconds", 1, "--warmup", 0, "--connections", 2)
        assert result.returncode == 0, result
        assert "operations/s" in result.stdout
        assert client["quorate_bench"].list_collection_names() == []


def finds_of(uri, hosts):
    """How many reads each member has answered."""
    counts = []
    for host, port in hosts:
        with pymongo.MongoClient(host, port, directConnection=True) as client:
            counts.append(client.admin.command("serverStatus")["opcounters"]["query"])
    return counts


@pytest.mark.parametrize("selector, readers", [("round-robin", 2), ("nearest-strict", 1)])
def test_bench_reads_from_the_members_that_the_selector_picks(running_set, selector, readers):
    """With one connection more than members, each in turn means all; always the nearest means one."""
    with pymongo.MongoClient(running_set) as client:
        eventually(lambda: client.primary and len(client.secondaries) == 2)
        hosts = sorted(client.secondaries) + [client.primary]
    before = finds_of(running_set, hosts)
    result = run(
        "bench", running_set, "--workload", "read", "--seconds", 1, "--warmup", 0, "--keys", 200, "--connections", 3,
        "--read-preference", "secondary", "--read-selector", selector, "--json",
    )  # fmt: skip
    assert result.returncode == 0, result
    assert json.loads(result.stdout)["errors"] == 0
    after = finds_of(running_set, hosts)
    grown = [now - then for then, now in zip(before, after)]
    # Whether a member has everything is asked once, before the load.
    assert [count > 1 for count in grown[:2]].count(True) == readers, grown
    assert grown[2] == 0, grown


@pytest.mark.parametrize("selector", ["mongodb", "nearest-strict", "least-lag", "round-robin"])
def test_members_replicate_with_every_read_selector(selector):
    process = Process("up", "replica-set", "--port", 0, "--read-selector", selector, ready=READY)
    try:
        with pymongo.MongoClient(process.match.group(1), w=3, serverSelectionTimeoutMS=5000) as client:
            for i in range(50):
                client.shop.orders.insert_one({"_id": i})
            client.admin.command("replSetStepDown", 10)
            client.shop.orders.insert_one({"_id": 50})
            assert client.shop.orders.count_documents({}) == 51
    finally:
        assert process.stop() == 0


def test_a_standalone_whose_members_would_talk_inside_the_process_still_lets_clients_in():
    process = Process("node", "--port", 0, "--transport", "loopback", ready=r"(mongodb://\S+)")
    try:
        with pymongo.MongoClient(process.match.group(1), serverSelectionTimeoutMS=5000) as client:
            assert client.admin.command("ping")["ok"] == 1
    finally:
        assert process.stop() == 0


def test_bench_reports_errors_and_fails_when_nothing_could_be_done(running_set):
    result = run("bench", running_set, "--seconds", 1, "--warmup", 0, "--connections", 1, "--write-concern", "nobody")
    assert result.returncode == 1
    assert "nothing could be done" in result.stderr


def test_bench_wants_the_set_that_was_named(running_set):
    result = run("bench", running_set.replace("rs0", "other"))
    assert result.returncode == 1
    assert "belongs to rs0, not to other" in result.stderr
