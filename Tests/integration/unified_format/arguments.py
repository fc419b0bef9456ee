"""Arguments of the format as those of PyMongo's methods."""
import pymongo

from .requirements import snake

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
