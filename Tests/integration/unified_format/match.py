"""Whether a value is what a test expects: the matching rules of the format."""
from bson.int64 import Int64

from .requirements import Skip

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
            is_one = actual is not MISSING and any(TYPES[name](actual) for name in names)
            assert is_one, f"{where}: {actual!r} is no {names}"
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
        is_as_long = isinstance(actual, list) and len(actual) == len(expected)
        assert is_as_long, f"{where}: expected {expected!r}, got {actual!r}"
        for index, (want, got) in enumerate(zip(expected, actual)):
            check_match(want, got, f"{where}[{index}]", is_root and isinstance(want, dict))
    else:
        same_kind = isinstance(expected, bool) == isinstance(actual, bool)
        assert same_kind and expected == actual, f"{where}: expected {expected!r}, got {actual!r}"


def normal(value):
    """Documents of any mapping type as plain ones."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: normal(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [normal(inner) for inner in value]
    return int(value) if isinstance(value, Int64) else value
