/// Micro-benchmarks by name: `Benchmarks bson`.
switch CommandLine.arguments.dropFirst().first {
case "bson": BSONBenchmark.run()
case "routing": RoutingBenchmark.run()
case let name: print("no benchmark '\(name ?? "")'; there is: bson, routing")
}
