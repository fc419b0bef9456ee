// swift-tools-version: 6.2
import PackageDescription

// Planted bugs for the simulator's own test (Sources/Core/Mutants.swift). Nothing outside the simulator can reach them;
// a build with QUORATE_SIMULATION=0 in the environment does not even contain them.
let simulationSettings: [SwiftSetting] =
    Context.environment["QUORATE_SIMULATION"] == "0" ? [] : [.define("QUORATE_SIMULATION")]

// One set of settings for every Swift target: Swift 6 mode, the strict upcoming features of docs/ARCHITECTURE.md, and
// whole-program optimisation across modules in release builds (a small accessor is otherwise a call).
let swiftSettings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        // Overlapping accesses are looked for in debug builds; at run time each check costs more than many an access.
        .unsafeFlags(["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release)),
    ] + simulationSettings
let cSettings: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-O2", "-fno-omit-frame-pointer"])]

/// A C target of the hot path, under CSupport/.
func hot(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "CSupport/\(name)", exclude: exclude, cSettings: cSettings)
}

/// A system library, found by pkg-config, under CSupport/.
func system(_ name: String, _ pkgConfig: String, _ debian: String) -> Target {
    .systemLibrary(name: name, path: "CSupport/\(name)", pkgConfig: pkgConfig, providers: [.apt([debian])])
}

/// A Swift module under Sources/.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(name)", swiftSettings: swiftSettings)
}

/// A default part under Plugins/.
func plugin(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Plugins/\(name)", swiftSettings: swiftSettings)
}

/// What is built into the program with `--traits RocksDB` only.
let withRocksDB: TargetDependencyCondition? = .when(traits: ["RocksDB"])

/// A test target under Tests/.
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude, swiftSettings: swiftSettings)
}

/// An executable, linked with the Swift runtime inside and without Foundation.
func executable(_ name: String, path: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: path, swiftSettings: swiftSettings,
        linkerSettings: [.unsafeFlags(["-static-stdlib"])])
}

/// A program that the documentation quotes.
func example(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "docs/examples/\(name)", swiftSettings: swiftSettings)
}

let package = Package(
    name: "quorate",
    products: [
        .library(name: "Quorate", targets: ["Quorate"]),
        .library(name: "QuorateCore", targets: ["Core", "BSON"]),
        .library(name: "QuorateConformance", targets: ["Conformance"]),
        .library(name: "QuorateCommandLine", targets: ["CommandLine"]),
        .executable(name: "quorate", targets: ["quorate"]),
    ],
    traits: [
        .trait(name: "RocksDB", description: "The storage 'rocksdb', which needs Debian's librocksdb-dev.")
    ],
    targets: [
        // System libraries.
        system("CLZ4", "liblz4", "liblz4-dev"),
        system("CXXHash", "libxxhash", "libxxhash-dev"),
        system("CUV", "libuv", "libuv1-dev"),
        system("CPCRE2", "libpcre2-8", "libpcre2-dev"),
        system("CSnappy", "snappy", "libsnappy-dev"),
        system("CZlib", "zlib", "zlib1g-dev"),
        system("CZstd", "libzstd", "libzstd-dev"),

        // The C hot path.
        hot("CBSON", exclude: ["fuzz"]),
        hot("CHash", ["CXXHash"]),
        hot("COplog", ["CLZ4", "CXXHash"]),
        hot("CTree"),
        // Debian's libintelrdfpmath-dev, which has no pkg-config file.
        .target(
            name: "CDecimal", path: "CSupport/CDecimal", cSettings: cSettings,
            linkerSettings: [.linkedLibrary("bidgcc000")]),
        hot("CRun"),
        hot("CHooks"),
        // Without its trait it is empty, and needs nothing.
        .target(
            name: "CRocks", path: "CSupport/CRocks",
            cxxSettings: [
                .unsafeFlags(["-std=c++20", "-Wall", "-Wextra", "-O2", "-fno-omit-frame-pointer"]),
                .define("CROCKS_ENABLED", .when(traits: ["RocksDB"])),
            ],
            linkerSettings: [.linkedLibrary("rocksdb", .when(traits: ["RocksDB"]))]),

        // The framework, in import order.
        module("BSON", ["CBSON", "CDecimal", "CHash"]),
        module("Core", ["BSON", "CHooks", "COplog"]),
        module("LiveRuntime", ["Core", "CUV", "CHooks"]),
        module("Wire", ["BSON", "Core", "CSnappy", "CZlib", "CZstd"]),
        module("Query", ["BSON", "Core", "CHash", "CPCRE2"]),
        module("Data", ["BSON", "Core", "Query", "COplog", "CTree", "CHash"]),
        module("Replication", ["BSON", "Core"]),
        module("Sharding", ["BSON", "Core"]),
        module("Client", ["BSON", "Core", "Wire"]),
        module("Frontend", ["BSON", "Core", "Wire"]),
        module(
            "DataNode", ["BSON", "Core", "Wire", "Frontend", "Query", "Data", "Replication", "Sharding", "COplog"]),
        module("Router", ["BSON", "Core", "Wire", "Client", "Frontend", "Query", "Sharding"]),
        module(
            "Quorate",
            [
                "BSON", "Core", "LiveRuntime", "Wire", "DataNode", "Router", "Client", "LoopbackTransport",
                "SocketTransport",
                "MemoryStorage", "FileStorage", .target(name: "RocksDBStorage", condition: withRocksDB),
                "ElectionPolicies", "ReadSelectors", "ShardKeyStrategies", "Conformance",
            ]),
        module(
            "Simulation",
            [
                "BSON", "Core", "Wire", "DataNode", "Client", "Replication", "Sharding", "Data", "MemoryStorage",
                "FileStorage", "ElectionPolicies", "ReadSelectors", "ShardKeyStrategies", "Conformance", "CHash",
                "CHooks",
            ]),
        module("Conformance", ["BSON", "Core"]),
        module(
            "CommandLine",
            [
                "BSON", "Core", "LiveRuntime", "Wire", "Quorate", "Frontend", "DataNode", "Router", "Client",
                "Simulation", "SocketTransport",
            ]),

        // Default parts: each imports Core and nothing beside it (SocketTransport also the event loop it sits on).
        plugin("LoopbackTransport", ["Core"]),
        plugin("SocketTransport", ["Core", "LiveRuntime", "CUV"]),
        plugin("MemoryStorage", ["Core", "CTree"]),
        plugin("FileStorage", ["Core", "BSON", "MemoryStorage", "CRun", "CHash", "CLZ4"]),
        plugin("RocksDBStorage", ["Core", "BSON", "CRocks", "CHash"]),
        plugin("ElectionPolicies", ["Core"]),
        plugin("ReadSelectors", ["Core"]),
        plugin("ShardKeyStrategies", ["Core", "BSON", "CHash"]),

        // Executables.
        executable("quorate", path: "Sources/quorate-cli", ["CommandLine"]),
        executable(
            "Benchmarks", path: "Sources/Benchmarks",
            [
                "BSON", "Core", "Wire", "Data", "Sharding", "ShardKeyStrategies", "MemoryStorage", "CTree", "CBSON",
                "COplog",
            ]),
        executable("query-fuzz", path: "Sources/QueryFuzz", ["BSON", "Core", "Query"]),

        // The documentation's examples: compiled with the tests, quoted by the pages.
        example("FirstReplicaSet", ["Quorate"]),
        example("PatientElections", ["Quorate", "Core", "CommandLine", "Conformance"]),
        example("SpreadShardKeys", ["Quorate", "Core", "BSON", "CommandLine", "Conformance"]),

        // Tests.
        tests("BSONTests", ["BSON", "CBSON", "Core"]),
        tests("CoreTests", ["Core", "BSON", "ReadSelectors"]),
        tests(
            "PolicyTests", ["Conformance", "Core", "BSON", "ElectionPolicies", "ReadSelectors", "ShardKeyStrategies"]),
        tests(
            "ShardingTests", ["Sharding", "Conformance", "Core", "BSON", "ShardKeyStrategies"], exclude: ["testdata"]),
        tests("WireTests", ["Wire", "Simulation", "BSON", "Core"]),
        tests("QueryTests", ["Query", "BSON", "Core"]),
        tests("DataTests", ["Data", "BSON", "Core", "Query", "MemoryStorage", "CTree", "COplog", "Conformance"]),
        tests(
            "ReplicationTests", ["Replication", "ElectionPolicies", "Conformance", "BSON", "Core"],
            exclude: ["testdata"]),
        tests(
            "TransportTests", ["LoopbackTransport", "SocketTransport", "LiveRuntime", "Core", "BSON", "Conformance"]),
        tests(
            "StorageTests",
            [
                "FileStorage", "MemoryStorage", "Data", "Simulation", "Conformance", "LiveRuntime", "BSON", "Core",
                "CRun",
            ]),
        tests(
            "RocksDBStorageTests",
            [
                .target(name: "RocksDBStorage", condition: withRocksDB), "Simulation", "Conformance", "LiveRuntime",
                "BSON", "Core",
            ]),
        tests("FrontendTests", ["Frontend", "EchoService", "Simulation", "Wire", "BSON", "Core"]),
        .target(
            name: "EchoService", dependencies: ["Frontend", "BSON", "Core"], path: "Tests/EchoService",
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "echo-service", dependencies: ["EchoService", "Frontend", "LiveRuntime", "SocketTransport", "Core"],
            path: "Tests/echo-service", swiftSettings: swiftSettings),
        .target(name: "CAllocations", path: "Tests/CAllocations", cSettings: cSettings),
        tests(
            "DataNodeTests",
            [
                "DataNode", "Data", "Frontend", "Wire", "BSON", "Core", "Simulation", "MemoryStorage", "Conformance",
                "CAllocations",
            ]),
        tests(
            "SimulationTests",
            ["Simulation", "DataNode", "Client", "BSON", "Core", "ElectionPolicies", "MemoryStorage", "Conformance"]),
        tests("ClientTests", ["Client", "Simulation", "BSON", "Core", "Wire", "ReadSelectors"]),
        tests("QuorateTests", ["Quorate", "Client", "BSON", "Core"]),
        tests("CommandLineTests", ["CommandLine", "Quorate", "BSON", "Core", "Wire"]),
        tests("TidyTests", []),
    ],
    swiftLanguageModes: [.v6]
)
