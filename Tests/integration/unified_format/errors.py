"""Whether an error is the one that a test expects."""
import json

from pymongo.errors import (
    BulkWriteError, ClientBulkWriteException, ConnectionFailure, NotPrimaryError, OperationFailure)

from .match import MISSING, check_match
from .results import client_bulk_result


def is_unsupported(error):
    """What the project leaves out by design answers with CommandNotSupported."""
    if not isinstance(error, OperationFailure):
        return False
    codes = {error.code}
    if isinstance(error, BulkWriteError):
        codes |= {one.get("code") for one in error.details.get("writeErrors", [])}
    text = json.dumps(str(error.details))
    return 115 in codes or ("not supported" in text and "'code': 115" in text)


def check_error(expected, error):
    source = error
    if isinstance(error, ClientBulkWriteException) and getattr(error, "error", None) is not None:
        source = error.error
    is_server = isinstance(source, (OperationFailure, ClientBulkWriteException, NotPrimaryError))
    if "isClientError" in expected:
        assert is_server != expected["isClientError"], f"is it a client error? {error!r}"
    details = getattr(source, "details", None) or {}
    for label in expected.get("errorLabelsContain", []):
        assert source.has_error_label(label), f"without the label {label}: {error!r}"
    for label in expected.get("errorLabelsOmit", []):
        assert not source.has_error_label(label), f"with the label {label}: {error!r}"
    if "errorContains" in expected:
        assert expected["errorContains"].lower() in (str(error) + json.dumps(str(details))).lower(), f"{error!r}"
    if "errorCode" in expected:
        # PyMongo's NotPrimaryError has its code in the reply only.
        code = getattr(source, "code", None) or details.get("code")
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
        found = [{"code": one["code"], "message": one["errmsg"]} for one in error.write_concern_errors]
        check_match(expected["writeConcernErrors"], found, "writeConcernErrors")
    if "expectResult" in expected:
        check_partial(expected["expectResult"], error)


def check_partial(expected, error):
    if isinstance(error, ConnectionFailure):
        # PyMongo raises what broke the connection, without a result; the test's outcome is compared all the same.
        return
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
