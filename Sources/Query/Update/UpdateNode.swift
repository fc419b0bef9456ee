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
    /// In the order in which new fields are added: names by their bytes, numbers by their value.
    private(set) var children: [(name: [UInt8], node: UpdateNode)] = []
    /// What applies to the element that the query matched.
    private(set) var positional: UpdateNode?
    /// Finds children of wide nodes.
    private var indexes: [[UInt8]: Int]?

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
        case .name(let name): childIndex(name).map { children[$0].node }
        case .elements(let identifier): childIndex(Array(identifier.utf8)).map { children[$0].node }
        }
    }

    private func childIndex(_ name: [UInt8]) -> Int? {
        if let indexes { return indexes[name] }
        return children.firstIndex { $0.name == name }
    }

    private func add(_ component: UpdatePath.Component, _ node: UpdateNode) {
        switch component {
        case .positional: positional = node
        case .name(let name): add(name, node)
        case .elements(let identifier): add(Array(identifier.utf8), node)
        }
    }

    private func add(_ name: [UInt8], _ node: UpdateNode) {
        let at = children.firstIndex { UpdateNode.precedes(name, $0.name) } ?? children.count
        children.insert((name, node), at: at)
        if children.count > 16 {
            indexes = Dictionary(uniqueKeysWithValues: children.enumerated().map { ($1.name, $0) })
        }
    }

    static func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        if let x = arrayIndex(a), let y = arrayIndex(b) { return x < y }
        return a.lexicographicallyPrecedes(b)
    }

    // MARK: Applying

    /// Position among the children of the one for a field.
    func childIndex(_ key: KeyView) -> Int? {
        if let indexes { return indexes[Array(key.bytes)] }
        for (index, child) in children.enumerated() where child.name.count == key.count {
            if child.name.elementsEqual(key.bytes) { return index }
        }
        return nil
    }

    /// The node with the matched element's modifications under its index.
    func resolvingPositional(_ position: Int?) throws(ServerError) -> UpdateNode {
        guard let positional else { return self }
        guard let position else {
            throw ServerError(
                .badValue, "The positional operator did not find the match needed from the query.")
        }
        let resolved = UpdateNode(.fields)
        for child in children { resolved.add(child.name, child.node) }
        let name = Array(String(position).utf8)
        if let index = resolved.childIndex(name) {
            let merged = try UpdateNode.merge([resolved.children[index].node, positional])
            resolved.children[index].node = merged
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
        var names: [[UInt8]] = []
        for node in nodes {
            for child in node.children where !names.contains(child.name) { names.append(child.name) }
        }
        for name in names {
            let same = nodes.compactMap { node in node.childIndex(name).map { node.children[$0].node } }
            merged.add(name, try merge(same))
        }
        let positionals = nodes.compactMap { $0.positional }
        if !positionals.isEmpty { merged.positional = try merge(positionals) }
        return merged
    }

    /// The path of some modifier below, for messages.
    private var firstPath: String? {
        if case .leaf(let modifier) = kind { return modifier.path }
        return children.first?.node.firstPath ?? positional?.firstPath
    }

    /// The target of the first rename below whose source is there.
    func firstRename(in document: DocumentView) throws(ServerError) -> RenameTarget? {
        if case .leaf(let modifier) = kind {
            guard let target = modifier as? RenameTarget, try target.find(in: document) != nil else { return nil }
            return target
        }
        for child in children { if let found = try child.node.firstRename(in: document) { return found } }
        return nil
    }

    /// What reaches one field or element: by its name, else as what the query or an array filter may have chosen.
    func reaching(_ key: KeyView) -> UpdateNode? {
        if let index = childIndex(key) { return children[index].node }
        if case .elements = kind { return children.first?.node }
        return positional
    }

    /// The first modifier below that does not accept a path that cannot exist.
    func firstStrictModifier(in document: DocumentView) -> (any UpdateModifier)? {
        if case .leaf(let modifier) = kind { return modifier.ignoresUnreachablePath(in: document) ? nil : modifier }
        for child in children { if let found = child.node.firstStrictModifier(in: document) { return found } }
        return positional?.firstStrictModifier(in: document)
    }
}
