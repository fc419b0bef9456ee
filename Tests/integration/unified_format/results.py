"""PyMongo's results in the words of the format."""


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
