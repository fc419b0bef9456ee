import BSON

/// Where a read or write concern comes from, which drivers and routers may say. It changes nothing.
enum Provenance {
    private static let names: Set<String> = [
        "clientSupplied", "implicitDefault", "customDefault", "getLastErrorDefaults", "internalWriteDefault",
    ]

    static func check(_ value: ValueView, in concern: String) throws(ServerError) {
        if value.isNullish { return }
        guard value.type == .string else { throw wrongType("\(concern).provenance", value, "string") }
        guard let name = value.asString, names.contains(name) else {
            throw ServerError(
                .badValue,
                "Enumeration value '\(value.asString ?? "")' for field '\(concern).provenance' is not a valid value.")
        }
    }
}
