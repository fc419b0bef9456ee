import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

/// What becomes of one field.
enum ProjectionAction {
    case include
    case exclude
    /// Some fields of the nested document.
    case nested(ProjectionNode)
    case slice(ProjectionSlice)
    /// The first element that matches, behind the other fields.
    case elementMatch(Filter)
    /// An expression's value, behind the other fields.
    case computed(Expression)
}

/// `$slice` of a find: the first or last elements, or some from an offset.
struct ProjectionSlice {
    /// Elements to skip; from the end when negative.
    let skip: Int64
    let limit: Int64

    /// The range of indexes that is kept of an array of `count` elements.
    func range(count: Int) -> Range<Int> {
        let size = Int64(count)
        let start = skip >= 0 ? min(skip, size) : max(size + max(skip, -size), 0)
        let end = limit >= size - start ? size : start + limit
        return Int(start)..<Int(end)
    }
}

/// The projected fields of one level of nesting.
final class ProjectionNode {
    /// One field and its action. A class, so that the walk finds it without copying.
    final class Entry {
        let path: CompiledPath
        let isID: Bool
        let action: ProjectionAction
        init(name: String, action: ProjectionAction) {
            isID = name == "_id"
            // Names have no dots: the path is one name, its bytes in place.
            path = CompiledPath(name)
            self.action = action
        }
        @inline(__always) func isNamed(_ key: KeyView) -> Bool {
            path.parts[0].count == key.count && memcmp(path.parts[0].base, key.base, key.count) == 0
        }
        var key: KeyView { KeyView(base: path.parts[0].base, count: path.parts[0].count) }
    }

    private(set) var entries: [Entry] = []
    private var table = NameTable()
    /// Whether an entry here or below makes fields that the document may not have.
    var hasComputed = false
    /// Whether the path of `field.$` ends or passes here: the first array below keeps one element.
    var isPositional = false

    @inline(__always) func entry(_ key: KeyView) -> Entry? {
        table.find(key) { entries[$0].isNamed(key) }.map { entries[$0] }
    }
    func entry(named name: String) -> Entry? { KeyView.with(name) { entry($0) } }
    /// Adds an entry with a name that is not there yet.
    func add(_ entry: Entry) {
        table.append(entry.key) { place, body in body(entries[place].key) }
        entries.append(entry)
    }
}
