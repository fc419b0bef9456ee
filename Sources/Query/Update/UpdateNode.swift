import BSON
import Core

/// The modifications of one update as a tree over field names, so that one pass over a document applies them all.
final class UpdateNode {
    enum Kind {
        /// Fields by name (or array elements by index), and the element that the query matched.
        case fields
        /// Array elements by `$[…]`.
        case elements
        case leaf(any UpdateModifier)
    }

    let kind: Kind
    private(set) var children = NamedList<UpdateNode>()
    /// What applies to the element that the query matched.
    private(set) var positional: UpdateNode?
    /// Children in the order in which new fields are added; nil when one was added since.
    private var sorted: [Int]?

    init(_ kind: Kind) { self.kind = kind }

    // MARK: Building

    /// Adds a modifier at `path`. Throws `ConflictingUpdateOperators` when it meets another.
    func insert(_ modifier: any UpdateModifier, at path: UpdatePath) throws(ServerError) {
        var node = self
        for (index, component) in path.components.enumerated() {
            let isLast = index + 1 == path.components.count
            func make() -> UpdateNode {
                if isLast { return UpdateNode(.leaf(modifier)) }
                if case .elements = path.components[index + 1] { return UpdateNode(.elements) }
                return UpdateNode(.fields)
            }
            let existing = node.child(component)
            if let existing {
                guard !isLast, existing.isSameKind(as: make()) else { throw UpdateNode.conflict(path, index) }
                node = existing
            } else {
                let made = make()
                node.add(component, made)
                node = made
            }
        }
    }

    private static func conflict(_ path: UpdatePath, _ index: Int) -> ServerError {
        let prefix = path.dotted.split(separator: ".", omittingEmptySubsequences: false).prefix(index + 1)
        return ServerError(
            .conflictingUpdateOperators,
            "Updating the path '\(path.dotted)' would create a conflict at '\(prefix.joined(separator: "."))'")
    }

    private func isSameKind(as other: UpdateNode) -> Bool {
        switch (kind, other.kind) {
        case (.fields, .fields), (.elements, .elements): true
        default: false
        }
    }

    private func child(_ component: UpdatePath.Component) -> UpdateNode? {
        switch component {
        case .positional: positional
        case .name(let name): children.index(name).map { children[$0] }
        case .elements(let identifier): children.index(Array(identifier.utf8)).map { children[$0] }
        }
    }

    private func add(_ component: UpdatePath.Component, _ node: UpdateNode) {
        switch component {
        case .positional: positional = node
        case .name(let name): add(name, node)
        case .elements(let identifier): add(Array(identifier.utf8), node)
        }
    }

    private func add(_ name: [UInt8], _ node: UpdateNode) {
        children.append(name, node)
        sorted = nil
    }

    /// Children in the order in which new fields are added: names by their bytes, numbers by their value.
    var creationOrder: [Int] {
        if let sorted { return sorted }
        let names = children.items
        let order = (0..<children.count).sorted { UpdateNode.precedes(names[$0].name, names[$1].name) }
        sorted = order
        return order
    }

    static func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        switch (arrayIndex(a), arrayIndex(b)) {
        case (let x?, let y?) where x != y: x < y
        // Numbers come first, so that the order is one.
        case (.some, nil): true
        case (nil, .some): false
        default: a.lexicographicallyPrecedes(b)
        }
    }

    // MARK: Applying

    /// The node with the matched element's modifications under its index.
    func resolvingPositional(_ position: Int?) throws(ServerError) -> UpdateNode {
        guard let positional else { return self }
        guard let position else {
            throw ServerError(
                .badValue, "The positional operator did not find the match needed from the query.")
        }
        let resolved = UpdateNode(.fields)
        for child in children.items { resolved.add(child.name, child.element) }
        let name = Array(String(position).utf8)
        if let index = resolved.children.index(name) {
            let merged = try UpdateNode.merge([resolved.children[index], positional])
            resolved.children[index] = merged
        } else {
            resolved.add(name, positional)
        }
        return resolved
    }

    /// One node that does what all of `nodes` do.
    static func merge(_ nodes: [UpdateNode]) throws(ServerError) -> UpdateNode {
        guard nodes.count > 1 else { return nodes[0] }
        for node in nodes where !node.isSameKind(as: nodes[0]) {
            throw ServerError(
                .conflictingUpdateOperators,
                "Update created a conflict at '\(nodes.compactMap { $0.firstPath }.first ?? "")'")
        }
        let merged = UpdateNode(nodes[0].kind)
        for node in nodes {
            for (name, _) in node.children.items where merged.children.index(name) == nil {
                let same = nodes.compactMap { node in node.children.index(name).map { node.children[$0] } }
                merged.add(name, try merge(same))
            }
        }
        let positionals = nodes.compactMap { $0.positional }
        if !positionals.isEmpty { merged.positional = try merge(positionals) }
        return merged
    }

    /// The path of some modifier below, for messages.
    private var firstPath: String? {
        if case .leaf(let modifier) = kind { return modifier.path }
        return creationOrder.first.flatMap { children[$0].firstPath } ?? positional?.firstPath
    }

    /// The target of the first rename below whose source is there.
    func firstRename(in document: DocumentView) throws(ServerError) -> RenameTarget? {
        if case .leaf(let modifier) = kind {
            guard let target = modifier as? RenameTarget, try target.find(in: document) != nil else { return nil }
            return target
        }
        for index in creationOrder { if let found = try children[index].firstRename(in: document) { return found } }
        return nil
    }

    /// What reaches one field or element: by its name, else as what the query or an array filter may have chosen.
    func reaching(_ key: KeyView) -> UpdateNode? {
        if let index = children.index(key) { return children[index] }
        if case .elements = kind { return creationOrder.first.map { children[$0] } }
        return positional
    }

    /// The first modifier below that does not accept a path that cannot exist.
    func firstStrictModifier(in document: DocumentView) -> (any UpdateModifier)? {
        if case .leaf(let modifier) = kind { return modifier.ignoresUnreachablePath(in: document) ? nil : modifier }
        for index in creationOrder { if let found = children[index].firstStrictModifier(in: document) { return found } }
        return positional?.firstStrictModifier(in: document)
    }
}
