import BSON

/// Changes a configuration as an operator does: reads it, changes it, sends it back.
enum ConfigEdit {
    /// What to send with `replSetReconfig`.
    ///
    /// - Parameters:
    ///   - reply: the answer to `replSetGetConfig`.
    ///   - change: the members as they shall be, of those that are there; nil when there is nothing to change.
    static func next(after reply: Document, changing change: ([Value]) -> [Value]?) -> Document? {
        guard let config = reply["config"]?.asDocument, let version = config["version"]?.asInteger,
            let members = config["members"]?.asArray, let changed = change(members)
        else { return nil }
        var next = Document()
        for field in config.fields where field.key != "term" {
            switch field.key {
            case "version": next.append(field.key, .int64(version + 1))
            case "members": next.append(field.key, .array(changed))
            default: next.append(field.key, field.value)
            }
        }
        return next
    }

    /// The `_id` of a member of a configuration.
    static func id(_ member: Value) -> Int64? { member.asDocument?["_id"]?.asInteger }
}
