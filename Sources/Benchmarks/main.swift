/// Micro-benchmarks by name: `Benchmarks bson`.
switch CommandLine.arguments.dropFirst().first {
case "bson": BSONBenchmark.run()
case let name: print("no benchmark '\(name ?? "")'; there is: bson")
}
