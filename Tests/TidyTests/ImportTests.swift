import Testing

/// The direction of imports (docs/ARCHITECTURE.md, "The map"): who may use whom.
@Suite struct ImportTests {
    /// What each module may import, besides Swift's own `Synchronization`.
    private static let allowed: [String: Set<String>] = [
        // Glibc in modules of node code: for comparing and copying memory, and for arithmetic. BannedNameTests says
        // what must not be called.
        "BSON": ["CBSON", "CDecimal", "CHash", "Glibc"],
        "Core": ["BSON", "CHooks", "COplog"],
        "Wire": ["BSON", "Core", "CSnappy", "CZlib", "CZstd"],
        "Query": ["BSON", "Core", "CHash", "CPCRE2", "Glibc"],
        "Data": ["BSON", "Core", "Query", "CTree", "CHash", "Glibc"],
        "Replication": ["BSON", "Core"],
        "Sharding": ["BSON", "Core", "Glibc"],
        "Frontend": ["BSON", "Core", "Wire"],
        "DataNode": ["BSON", "Core", "Wire", "Frontend", "Query", "Data", "Replication", "Sharding", "COplog"],
        "Client": ["BSON", "Core", "Wire"],
        // A client of the shards, and a service behind a frontend.
        "Router": ["BSON", "Core", "Wire", "Client", "Frontend", "Query", "Sharding"],
        "LiveRuntime": ["BSON", "Core", "CUV", "CHooks", "Glibc"],
        "Conformance": ["BSON", "Core"],
        "Simulation": [
            "BSON", "Core", "Wire", "Query", "Data", "Replication", "Sharding", "DataNode", "Client", "MemoryStorage",
            "FileStorage", "ElectionPolicies", "ReadSelectors", "ShardKeyStrategies", "Conformance", "CHash", "CHooks",
            "Glibc",
        ],
        "Quorate": [
            "BSON", "Core", "LiveRuntime", "Wire", "DataNode", "Router", "Client", "LoopbackTransport",
            "SocketTransport",
            "MemoryStorage", "FileStorage", "RocksDBStorage", "ElectionPolicies", "ReadSelectors",
            "ShardKeyStrategies", "Conformance",
        ],
        "CommandLine": [
            "BSON", "Core", "LiveRuntime", "Wire", "Quorate", "Frontend", "DataNode", "Router", "Client", "Simulation",
            "SocketTransport",
            "Glibc",
        ],
        "quorate-cli": ["CommandLine"],
        "QueryFuzz": ["BSON", "Core", "Query", "Glibc"],
        // Default parts know the plug points, and the C code that they are made of.
        "LoopbackTransport": ["BSON", "Core"],
        "SocketTransport": ["BSON", "Core", "LiveRuntime", "CUV", "Glibc"],
        "MemoryStorage": ["BSON", "Core", "CTree"],
        // The tree of memory, written down.
        "FileStorage": ["BSON", "Core", "MemoryStorage", "CRun", "CHash", "CLZ4"],
        "RocksDBStorage": ["BSON", "Core", "CRocks", "CHash"],
        "ElectionPolicies": ["Core"],
        "ReadSelectors": ["Core"],
        "ShardKeyStrategies": ["BSON", "Core", "CHash"],
    ]

    /// Measures its own process and reaches into every layer on purpose.
    private static let exempt: Set<String> = ["Benchmarks"]

    @Test("a module imports only what the table of imports allows it")
    func importsFollowTheTable() {
        let files = SourceTree.swiftFiles(in: "Sources", "Plugins")
        #expect(files.count > 100, "the tests do not see the sources")
        for file in files where !Self.exempt.contains(file.module) {
            guard let allowed = Self.allowed[file.module] else {
                Issue.record("\(file.path): module \(file.module) is not in the table")
                continue
            }
            for (number, line) in file.lines.enumerated() {
                guard let imported = Self.imported(line), imported != "Synchronization" else { continue }
                #expect(allowed.contains(imported), "\(file.path):\(number + 1) imports \(imported)")
            }
        }
    }

    /// The module that an import line names.
    static func imported(_ line: String) -> String? {
        let words = line.split(separator: " ")
        guard let at = words.firstIndex(of: "import"), at + 1 < words.count, at <= 2 else { return nil }
        let before = words[..<at]
        guard before.allSatisfy({ ["public", "internal", "private", "package"].contains($0) || $0.hasPrefix("@") })
        else {
            return nil
        }
        return words[at + 1].split(separator: ".").first.map(String.init)
    }

    @Test("an import is recognised with and without access level and attributes")
    func importLines() {
        #expect(Self.imported("import Core") == "Core")
        #expect(Self.imported("public import BSON") == "BSON")
        #expect(Self.imported("@testable import Data") == "Data")
        #expect(Self.imported("    internal import Glibc") == "Glibc")
        #expect(Self.imported("/// To import a module, say so") == nil)
        #expect(Self.imported("let important = 1") == nil)
    }
}
