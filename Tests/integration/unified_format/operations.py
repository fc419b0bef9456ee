"""The operations of the format, each by the method of PyMongo that it stands for."""
from pymongo.errors import OperationFailure

from .arguments import concern, options, request, sorted_by_list, verbatim_bypass
from .requirements import Skip
from .results import bulk_result, client_bulk_result, update_result


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
        target.create_collection(arguments.pop("collection"), check_exists=False, **arguments)

    def dropCollection(self, target, arguments):
        target.drop_collection(arguments["collection"])

    def modifyCollection(self, target, arguments):
        arguments = dict(arguments)
        target.command("collMod", arguments.pop("collection"), **arguments)

    def createIndex(self, target, arguments):
        arguments = dict(arguments)
        return target.create_index(list(arguments.pop("keys").items()), **arguments)

    def dropIndex(self, target, arguments):
        target.drop_index(arguments["name"])

    def runCommand(self, target, arguments):
        return target.command(arguments["command"])

    def mapReduce(self, _, arguments):
        raise Skip("mapReduce needs JavaScript, which is not there by design, and PyMongo 4 has no method for it")

    def createEntities(self, _, arguments):
        self.run.create_all(arguments["entities"])

    def failPoint(self, _, arguments):
        try:
            self.run.admin.command(arguments["failPoint"])
        except OperationFailure as error:
            if error.code == 59:
                raise Skip("fail points are off: the server was started without enableTestCommands") from None
            raise
        self.run.fail_points.append(arguments["failPoint"]["configureFailPoint"])
