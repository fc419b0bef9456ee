public import BSON
public import Core

/// How the documents of a query are found. The filter is checked on every document again, whatever the access.
public struct QueryPlan {
    /// Where candidates come from.
    public enum Access {
        /// The document with this `_id`, if there is one.
        case idLookup(Value)
        /// The documents with these `_id`s, ascending and distinct.
        case idsLookup([Value])
        case indexScan(IndexScan)
        /// The union of several scans; a document may come from more than one.
        case indexUnion([IndexScan])
        case collectionScan(ScanDirection)
    }

    public let access: Access
    /// The whole filter.
    public let residual: Filter
    /// Whether candidates come in the order of the sort, so that none is needed.
    public let providesSort: Bool

    /// Whether the reader must drop documents that it has met before.
    public var needsDeduplication: Bool {
        switch access {
        case .indexScan(let scan): scan.needsDeduplication
        case .indexUnion: true
        case .idLookup, .idsLookup, .collectionScan: false
        }
    }
}

/// The index a client names for a query.
public enum QueryHint {
    case name(String)
    case keyPattern(Document)
    case natural(ScanDirection)

    /// Whether it asks for the order of insertion.
    public var isNaturalForward: Bool { if case .natural(.forward) = self { true } else { false } }

    /// Reads the `hint` of a command; nil for an empty document. Throws 9 for other types.
    public init?(_ value: ValueView) throws(ServerError) {
        if let name = value.asString {
            self = .name(name)
            return
        }
        guard let document = value.asDocument else {
            throw ServerError(.failedToParse, "Hint must be a string or an object")
        }
        guard let first = document.first else { return nil }
        if first.key == "$natural" {
            guard document.fieldCount == 1, let direction = first.value.asInteger, direction == 1 || direction == -1
            else {
                throw ServerError(.badValue, "$natural hint must be 1 or -1 and stand alone")
            }
            self = .natural(direction == 1 ? .forward : .backward)
        } else if first.key == "$hint" {
            try self.init(first.value)
        } else {
            self = .keyPattern(document.document)
        }
    }
}
