public import BSON

/// The fields of an index or a sort, in order.
public struct KeyPattern {
    /// How one field is ordered.
    public enum Kind: Sendable {
        case ascending
        case descending
        /// By the hash of the value: found by equality only.
        case hashed
    }

    /// One field of the pattern.
    public struct Field {
        public let path: CompiledPath
        public let kind: Kind
        public init(path: CompiledPath, kind: Kind) {
            self.path = path
            self.kind = kind
        }
    }

    public let fields: [Field]
    public init(_ fields: [Field]) { self.fields = fields }

    /// The pattern as a document, directions as 1 and -1.
    public var document: Document {
        Document { writer in
            for field in fields {
                switch field.kind {
                case .ascending: writer.append(field.path.string, .int32(1))
                case .descending: writer.append(field.path.string, .int32(-1))
                case .hashed: writer.append(field.path.string, .string("hashed"))
                }
            }
        }
    }
}
