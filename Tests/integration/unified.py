"""Runs tests of the drivers' unified test format through PyMongo's public API: what the CRUD specification needs."""
import json
import re

import pymongo
from bson import json_util
from bson.int64 import Int64
from pymongo import monitoring
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
)

OPTIONS = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=False)


class Skip(Exception):
    """The test asks for something that is not to be had here."""


def load(path):
    return json_util.loads(path.read_text(), json_options=OPTIONS)


def snake(name):
    return re.sub(r"([A-Z])", lambda m: "_" + m.group(1).lower(), name)


def version(text):
    return tuple(int(part) for part in text.split("-")[0].split(".")[:3])


def requirement_fails(requirements, server):
    """Why none of the requirements is met; None when one is."""
    if not requirements:
        return None
    reasons = []
    for one in requirements:
        have = (version(server["version"]) + (0, 0))[:3]
        if "minServerVersion" in one and have < (version(one["minServerVersion"]) + (0, 0))[:3]:
            reasons.append(f"needs server {one['minServerVersion']}")
        elif "maxServerVersion" in one and have > (version(one["maxServerVersion"]) + (99, 99))[:3]:
            reasons.append(f"is for servers up to {one['maxServerVersion']}")
        elif "topologies" in one and server["topology"] not in one["topologies"]:
            reasons.append(f"needs one of {one['topologies']}")
        elif one.get("serverless") == "require" or one.get("auth") or one.get("csfle"):
            reasons.append("needs serverless, authentication or encryption")
        elif any(server["parameters"].get(k) != v for k, v in one.get("serverParameters", {}).items()):
            reasons.append(f"needs {one['serverParameters']}")
        else:
            return None
    return "; ".join(sorted(set(reasons)))


TYPES = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "long": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "double": lambda v: isinstance(v, float),
    "string": lambda v: isinstance(v, str),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "bool": lambda v: isinstance(v, bool),
    "objectId": lambda v: type(v).__name__ == "ObjectId",
    "date": lambda v: type(v).__name__ == "datetime",
    "binData": lambda v: isinstance(v, bytes) or type(v).__name__ in ("Binary", "UUID"),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}
MISSING = object()


def check_match(expected, actual, where="result", is_root=True):
    """Raises AssertionError unless `actual` is what the specification's rules accept for `expected`."""
    if isinstance(expected, dict) and len(expected) == 1:
        (operator, argument), = expected.items()
        if operator == "$$exists":
            assert (actual is not MISSING) == argument, f"{where}: exists is {actual is not MISSING}"
            return
        if operator == "$$unsetOrMatches":
            if actual is not MISSING and actual is not None:
                check_match(argument, actual, where, is_root)
            return
        if operator == "$$type":
            names = argument if isinstance(argument, list) else [argument]
            assert actual is not MISSING and any(TYPES[name](actual) for name in names), f"{where}: {actual!r} is no {names}"
            return
        if operator in ("$$sessionLsid", "$$matchesEntity", "$$matchesHexBytes", "$$lte"):
            raise Skip(f"the operator {operator} is not implemented")
    assert actual is not MISSING, f"{where} is missing, expected {expected!r}"
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: expected a document, got {actual!r}"
        for key, value in expected.items():
            found = actual.get(key, MISSING)
            check_match(value, found, f"{where}.{key}", False)
        if not is_root:
            extra = set(actual) - set(expected)
            assert not extra, f"{where}: unexpected {extra}"
    elif isinstance(expected, list):
        assert isinstance(actual, list) and len(actual) == len(expected), f"{where}: expected {expected!r}, got {actual!r}"
        for index, (want, got) in enumerate(zip(expected, actual)):
            check_match(want, got, f"{where}[{index}]", is_root and isinstance(want, dict))
    else:
        same_kind = isinstance(expected, bool) == isinstance(actual, bool)
        assert same_kind and expected == actual, f"{where}: expected {expected!r}, got {actual!r}"


class Listener(monitoring.CommandListener):
    def __init__(self, observed):
        self.observed = set(observed)
        self.events = []
        self.ignored = {"configureFailPoint", "killCursors", "endSessions", "hello", "isMaster", "ismaster"}

    def _note(self, kind, event):
        if kind in self.observed and event.command_name not in self.ignored:
            self.events.append((kind, event))

    def started(self, event):
        self._note("commandStartedEvent", event)

    def succeeded(self, event):
        self._note("commandSucceededEvent", event)

    def failed(self, event):
        self._note("commandFailedEvent", event)


def bulk_result(result):
    if not result.acknowledged:
        return {"acknowledged": False}
    return {
        "deletedCount": result.deleted_count, "insertedCount": result.inserted_count,
        "matchedCount": result.matched_count, "modifiedCount": result.modified_count,
        "upsertedCount": result.upserted_count,
        "upsertedIds": {str(k): v for k, v in (result.upserted_ids or {}).items()},
    }


def client_bulk_result(result):
    if not result.acknowledged:
        return {"acknowledged": False}
    answer = {
        "deletedCount": result.deleted_count, "insertedCount": result.inserted_count,
        "matchedCount": result.matched_count, "modifiedCount": result.modified_count,
        "upsertedCount": result.upserted_count,
    }
    if result.has_verbose_results:
        answer["insertResults"] = {str(k): {"insertedId": v.inserted_id} for k, v in result.insert_results.items()}
        answer["deleteResults"] = {str(k): {"deletedCount": v.deleted_count} for k, v in result.delete_results.items()}
        answer["updateResults"] = {str(k): client_update_result(v) for k, v in result.update_results.items()}
    return answer


def client_update_result(result):
    answer = {"matchedCount": result.matched_count, "modifiedCount": result.modified_count}
    if result.did_upsert:
        answer["upsertedId"] = result.upserted_id
    return answer


def update_result(result):
    if not result.acknowledged:
        return {"acknowledged": False}
    answer = {"matchedCount": result.matched_count, "modifiedCount": result.modified_count}
    answer["upsertedCount"] = int(result.upserted_id is not None)
    if result.upserted_id is not None:
        answer["upsertedId"] = result.upserted_id
    return answer


REQUESTS = {
    "insertOne": pymongo.InsertOne, "updateOne": pymongo.UpdateOne, "updateMany": pymongo.UpdateMany,
    "replaceOne": pymongo.ReplaceOne, "deleteOne": pymongo.DeleteOne, "deleteMany": pymongo.DeleteMany,
}


def request(specification):
    (name, arguments), = specification.items()
    return REQUESTS[name](**options(arguments))


def options(arguments):
    made = {snake(key): value for key, value in arguments.items()}
    if "return_document" in made:
        made["return_document"] = made["return_document"] == "After"
    if isinstance(made.get("hint"), dict):
        made["hint"] = list(made["hint"].items())
    if "write_concern" in made:
        made["write_concern"] = concern(made["write_concern"])
    return made


def sorted_by_list(made):
    """Reads take the sort as a list of pairs, updates as a mapping."""
    if "sort" in made:
        made["sort"] = list(made["sort"].items())
    return made


def concern(specification):
    return pymongo.WriteConcern(**{"j" if k == "journal" else snake(k).replace("timeout_m_s", "timeout"): v
                                   for k, v in specification.items()})


def verbatim_bypass(made):
    """These methods of PyMongo hand the field to the command under the name that it is given."""
    if "bypass_document_validation" in made:
        made["bypassDocumentValidation"] = made.pop("bypass_document_validation")
    return made


class Operations:
    """The operations of the format, each on an entity of PyMongo."""

    def __init__(self, run):
        self.run = run

    def aggregate(self, target, arguments):
        made = verbatim_bypass(options(arguments))
        return list(target.aggregate(made.pop("pipeline"), **self.max_time(made)))

    def find(self, target, arguments):
        return list(self._find(target, arguments))

    def findOne(self, target, arguments):
        return next(iter(self._find(target, arguments).limit(-1)), None)

    def _find(self, target, arguments):
        return target.find(**sorted_by_list(self.max_time(options(arguments))))

    @staticmethod
    def max_time(made):
        if "max_time_m_s" in made:
            made["max_time_ms" if "filter" in made else "maxTimeMS"] = made.pop("max_time_m_s")
        if "allow_disk_use" in made and "filter" not in made:
            made["allowDiskUse"] = made.pop("allow_disk_use")
        if "batch_size" in made and "filter" not in made:
            made["batchSize"] = made.pop("batch_size")
        return made

    def countDocuments(self, target, arguments):
        return target.count_documents(**self.max_time_plain(arguments))

    def estimatedDocumentCount(self, target, arguments):
        return target.estimated_document_count(**self.max_time_plain(arguments))

    @staticmethod
    def max_time_plain(arguments):
        made = options(arguments)
        if "max_time_m_s" in made:
            made["maxTimeMS"] = made.pop("max_time_m_s")
        return made

    def count(self, target, arguments):
        arguments = dict(arguments)
        command = {"count": target.name, "query": arguments.pop("filter", {}), **arguments}
        return target.database.command(command)["n"]

    def distinct(self, target, arguments):
        made = options(arguments)
        return target.distinct(made.pop("field_name"), **made)

    def insertOne(self, target, arguments):
        result = target.insert_one(**options(arguments))
        return {"insertedId": result.inserted_id} if result.acknowledged else {"acknowledged": False}

    def insertMany(self, target, arguments):
        result = target.insert_many(**options(arguments))
        if not result.acknowledged:
            return {"acknowledged": False}
        return {"insertedIds": {str(i): v for i, v in enumerate(result.inserted_ids)}}

    def updateOne(self, target, arguments):
        return update_result(target.update_one(**options(arguments)))

    def updateMany(self, target, arguments):
        return update_result(target.update_many(**options(arguments)))

    def replaceOne(self, target, arguments):
        return update_result(target.replace_one(**options(arguments)))

    def deleteOne(self, target, arguments):
        return self._deleted(target.delete_one(**options(arguments)))

    def deleteMany(self, target, arguments):
        return self._deleted(target.delete_many(**options(arguments)))

    @staticmethod
    def _deleted(result):
        return {"deletedCount": result.deleted_count} if result.acknowledged else {"acknowledged": False}

    def findOneAndUpdate(self, target, arguments):
        return target.find_one_and_update(**verbatim_bypass(sorted_by_list(options(arguments))))

    def findOneAndReplace(self, target, arguments):
        return target.find_one_and_replace(**verbatim_bypass(sorted_by_list(options(arguments))))

    def findOneAndDelete(self, target, arguments):
        return target.find_one_and_delete(**sorted_by_list(options(arguments)))

    def bulkWrite(self, target, arguments):
        made = options(arguments)
        return bulk_result(target.bulk_write([request(one) for one in made.pop("requests")], **made))

    def clientBulkWrite(self, target, arguments):
        made = options(arguments)
        return client_bulk_result(target.bulk_write([request(one) for one in made.pop("models")], **made))

    def createCollection(self, target, arguments):
        arguments = dict(arguments)
        target.create_collection(arguments.pop("collection"), **arguments)

    def dropCollection(self, target, arguments):
        target.drop_collection(arguments["collection"])

    def modifyCollection(self, target, arguments):
        arguments = dict(arguments)
        target.command("collMod", arguments.pop("collection"), **arguments)

    def createIndex(self, target, arguments):
        arguments = dict(arguments)
        return target.create_index(list(arguments.pop("keys").items()), **arguments)

    def failPoint(self, _, arguments):
        try:
            self.run.admin.command(arguments["failPoint"])
        except OperationFailure as error:
            if error.code == 59:
                raise Skip("the server has no fail points") from None
            raise
        self.run.fail_points.append(arguments["failPoint"]["configureFailPoint"])


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
            for entity in self.suite.get("createEntities", []):
                self.create(entity)
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

    def create(self, entity):
        (kind, made), = entity.items()
        if kind == "client":
            listener = Listener(made.get("observeEvents", []))
            client = pymongo.MongoClient(self.uri, event_listeners=[listener], **made.get("uriOptions", {}))
            self.clients.append(client)
            self.listeners[made["id"]] = listener
            self.entities[made["id"]] = client
        elif kind == "database":
            client = self.entities[made["client"]]
            self.entities[made["id"]] = client.get_database(made["databaseName"], **self.concerns(made.get("databaseOptions")))
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
            if self.is_unsupported(error):
                raise Skip(f"out of scope: {error}") from None
            if expected is None:
                raise
            self.check_error(expected, error)
            return
        assert expected is None, f"{operation['name']} did not fail"
        if "expectResult" in operation:
            check_match(operation["expectResult"], result)

    def is_unsupported(self, error):
        """What the project leaves out by design answers with CommandNotSupported."""
        if not isinstance(error, OperationFailure):
            return False
        codes = {error.code}
        if isinstance(error, BulkWriteError):
            codes |= {one.get("code") for one in error.details.get("writeErrors", [])}
        text = json.dumps(str(error.details))
        return 115 in codes or ("not supported" in text and "'code': 115" in text)

    def check_error(self, expected, error):
        is_server = isinstance(error, (OperationFailure, ClientBulkWriteException))
        if expected.get("isClientError") is True:
            assert not isinstance(error, OperationFailure) or isinstance(error, ConnectionFailure), f"not a client error: {error!r}"
        elif expected.get("isClientError") is False:
            assert is_server, f"not a server error: {error!r}"
        source = error
        if isinstance(error, ClientBulkWriteException) and getattr(error, "error", None) is not None:
            source = error.error
        details = getattr(source, "details", None) or {}
        if "errorContains" in expected:
            assert expected["errorContains"].lower() in (str(error) + json.dumps(str(details))).lower(), f"{error!r}"
        if "errorCode" in expected:
            code = getattr(source, "code", None)
            if isinstance(error, BulkWriteError) and details.get("writeErrors"):
                code = details["writeErrors"][0]["code"]
            assert code == expected["errorCode"], f"code {code}: {error!r}"
        if "errorCodeName" in expected:
            assert details.get("codeName") == expected["errorCodeName"]
        if "errorResponse" in expected:
            response = details
            if isinstance(error, BulkWriteError) and details.get("writeErrors"):
                response = details["writeErrors"][0]
            check_match(expected["errorResponse"], response, "errorResponse")
        if "writeErrors" in expected:
            found = {str(one["idx"] if "idx" in one else one["index"]): one for one in error.write_errors}
            for key, one in expected["writeErrors"].items():
                check_match(one, found.get(key, MISSING), f"writeErrors.{key}")
            assert set(found) == set(expected["writeErrors"]), f"write errors {found}"
        if "writeConcernErrors" in expected:
            check_match(expected["writeConcernErrors"], list(error.write_concern_errors), "writeConcernErrors")
        if "expectResult" in expected:
            self.check_partial(expected["expectResult"], error)

    @staticmethod
    def check_partial(expected, error):
        if isinstance(error, BulkWriteError):
            details = error.details
            actual = {
                "deletedCount": details["nRemoved"], "insertedCount": details["nInserted"],
                "matchedCount": details["nMatched"], "modifiedCount": details["nModified"],
                "upsertedCount": details["nUpserted"],
                "upsertedIds": {str(one["index"]): one["_id"] for one in details["upserted"]},
            }
        elif isinstance(error, ClientBulkWriteException):
            actual = client_bulk_result(error.partial_result) if error.partial_result else MISSING
            # PyMongo keeps a result of nothing but zeros where the specification leaves it out.
            if actual is not MISSING and not any(actual.values()):
                actual = MISSING
        else:
            actual = MISSING
        check_match(expected, actual, "partial result")

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


def normal(value):
    """Documents of any mapping type as plain ones."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: normal(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [normal(inner) for inner in value]
    return int(value) if isinstance(value, Int64) else value
