"""One test of one file: its entities, its operations, what came of them."""
import pymongo
from pymongo.errors import PyMongoError

from .arguments import concern
from .errors import check_error, is_unsupported
from .events import Listener
from .match import check_match, normal
from .operations import Operations
from .requirements import Skip, snake


class Run:
    """One test of one file: its entities, its operations, what came of them."""

    def __init__(self, admin, uri, suite, test):
        self.admin = admin.admin
        self.uri = uri
        self.suite = suite
        self.test = test
        self.entities = {}
        self.listeners = {}
        self.clients = []
        self.fail_points = []

    def execute(self):
        try:
            self.seed()
            self.create_all(self.suite.get("createEntities", []))
            operations = Operations(self)
            for operation in self.test["operations"]:
                self.operate(operations, operation)
            self.check_events()
            self.check_outcome()
        finally:
            for client in self.clients:
                client.close()
            for name in self.fail_points:
                self.admin.command("configureFailPoint", name, mode="off")

    def seed(self):
        for data in self.suite.get("initialData", []):
            collection = self.admin.client[data["databaseName"]][data["collectionName"]]
            collection.drop()
            if data["documents"]:
                collection.insert_many(data["documents"])
            else:
                collection.database.create_collection(collection.name)

    def create_all(self, entities):
        for entity in entities:
            self.create(entity)

    def create(self, entity):
        (kind, made), = entity.items()
        if kind == "client":
            listener = Listener(made.get("observeEvents", []))
            # After a state change that a fail point has made up, a server says nothing new: clients look again at their
            # next heartbeat.
            options = {"heartbeatFrequencyMS": 500, **made.get("uriOptions", {})}
            client = pymongo.MongoClient(self.uri, event_listeners=[listener], **options)
            self.clients.append(client)
            self.listeners[made["id"]] = listener
            self.entities[made["id"]] = client
        elif kind == "database":
            client = self.entities[made["client"]]
            concerns = self.concerns(made.get("databaseOptions"))
            self.entities[made["id"]] = client.get_database(made["databaseName"], **concerns)
        elif kind == "collection":
            database = self.entities[made["database"]]
            self.entities[made["id"]] = database.get_collection(
                made["collectionName"], **self.concerns(made.get("collectionOptions")))
        else:
            raise Skip(f"entities of the kind {kind} are not implemented")

    @staticmethod
    def concerns(specification):
        made = {}
        for key, value in (specification or {}).items():
            if key == "writeConcern":
                made["write_concern"] = concern(value)
            elif key == "readConcern":
                made["read_concern"] = pymongo.read_concern.ReadConcern(value["level"])
            elif key == "readPreference":
                mode = getattr(pymongo.ReadPreference, snake(value["mode"]).upper())
                if "maxStalenessSeconds" in value:
                    raise Skip("maxStalenessSeconds is not implemented")
                made["read_preference"] = mode
            else:
                raise Skip(f"the option {key} is not implemented")
        return made

    def operate(self, operations, operation):
        method = getattr(operations, operation["name"], None)
        if method is None:
            raise Skip(f"the operation {operation['name']} is not implemented")
        target = None if operation["object"] == "testRunner" else self.entities[operation["object"]]
        expected = operation.get("expectError")
        try:
            result = method(target, operation.get("arguments", {}))
        except (PyMongoError, TypeError, ValueError) as error:
            if is_unsupported(error):
                raise Skip(f"out of scope: {error}") from None
            if expected is None:
                raise
            check_error(expected, error)
            return
        assert expected is None, f"{operation['name']} did not fail"
        if "expectResult" in operation:
            check_match(operation["expectResult"], result)

    def check_events(self):
        for expectation in self.test.get("expectEvents", []):
            if expectation.get("eventType", "command") != "command":
                raise Skip("only command events are implemented")
            events = self.listeners[expectation["client"]].events
            wanted = expectation["events"]
            names = [(kind, event.command_name) for kind, event in events]
            assert len(events) >= len(wanted) if expectation.get("ignoreExtraEvents") else len(events) == len(wanted), (
                f"expected {len(wanted)} events, got {names}")
            for one, (kind, event) in zip(wanted, events):
                (name, fields), = one.items()
                assert kind == name, f"expected {name}, got {kind}"
                if "command" in fields:
                    check_match(fields["command"], normal(event.command), name)
                if "reply" in fields:
                    check_match(fields["reply"], normal(event.reply), name)
                if "commandName" in fields:
                    assert event.command_name == fields["commandName"]
                if "databaseName" in fields:
                    assert event.database_name == fields["databaseName"]

    def check_outcome(self):
        for data in self.test.get("outcome", []):
            collection = self.admin.client[data["databaseName"]][data["collectionName"]]
            found = list(collection.find().sort("_id", 1))
            check_match(data["documents"], found, "outcome", is_root=False)
