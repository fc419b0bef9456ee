internal import BSON

/// What `quorate status` shows of a sharded cluster, as a router tells it.
enum ClusterStatus {
    /// Asks a router: `{shards, hosts, chunks, balancer, moves}`.
    static func gather(_ link: ServerLink) async throws -> Document {
        let shards = try await link.succeed(["listShards": 1])
        let map = try await link.succeed(["getShardMap": 1])
        let counted = try await link.succeed(
            [
                "aggregate": "chunks",
                "pipeline": [["$group": ["_id": ["uuid": "$uuid", "shard": "$shard"], "n": ["$sum": 1]]]],
                "cursor": ["batchSize": 10_000],
            ], database: "config")
        let collections = try await link.succeed(
            ["find": "collections", "sort": ["_id": 1], "batchSize": 10_000], database: "config")
        let moves = try await link.succeed(
            ["find": "migrations", "filter": ["state": "live"], "batchSize": 1000], database: "config")
        let balancer = try await link.succeed(["balancerStatus": 1])
        return [
            "shards": shards["shards"] ?? .array([]), "hosts": map["hosts"] ?? [:], "chunks": .array(batch(counted)),
            "collections": .array(batch(collections)), "moves": .array(batch(moves)),
            "balancer": .document(balancer),
        ]
    }

    private static func batch(_ reply: Document) -> [Value] {
        reply["cursor"]?.asDocument?["firstBatch"]?.asArray ?? []
    }

    /// A line for each shard, then for each sharded collection, then the balancer and moves.
    static func lines(_ status: Document) -> [String] {
        let shards = documents(status["shards"])
        let hosts = status["hosts"]?.asDocument?.fields ?? []
        var rows = [["shard", "members", "zones", "state"]]
        for shard in shards {
            let name = shard["_id"]?.asString ?? "?"
            let members = hosts.filter { $0.value.asString == name }.map(\.key)
            let zones = shard["tags"]?.asArray?.compactMap(\.asString) ?? []
            rows.append([
                name, members.isEmpty ? shard["host"]?.asString ?? "?" : members.joined(separator: ","),
                zones.isEmpty ? "-" : zones.joined(separator: ","),
                shard["draining"]?.asBool == true ? "draining" : "up",
            ])
        }
        let config = hosts.filter { $0.value.asString == "config" }.map(\.key).joined(separator: ",")
        var lines = ["config servers: \(config)", ""] + StatusCommand.columns(rows)
        var chunks = [["collection", "key"] + shards.map { $0["_id"]?.asString ?? "?" }]
        for collection in documents(status["collections"]) {
            let counts = shards.map { shard in
                documents(status["chunks"]).first {
                    $0["_id"]?.asDocument?["uuid"] == collection["uuid"]
                        && $0["_id"]?.asDocument?["shard"] == shard["_id"]
                }?["n"]?.asInteger ?? 0
            }
            chunks.append(
                [collection["_id"]?.asString ?? "?", collection["key"]?.asDocument?.extendedJSON() ?? "?"]
                    + counts.map { "\($0)" })
        }
        if chunks.count > 1 { lines += ["", "chunks:"] + StatusCommand.columns(chunks) }
        let mode = status["balancer"]?.asDocument?["mode"]?.asString ?? "?"
        lines += ["", "balancer: \(mode)"]
        for move in documents(status["moves"]) {
            let names = ["ns", "donor", "recipient"].map { move[$0]?.asString ?? "?" }
            lines.append("moving: \(names[0]) from \(names[1]) to \(names[2])")
        }
        return lines
    }

    private static func documents(_ value: Value?) -> [Document] { value?.asArray?.compactMap(\.asDocument) ?? [] }
}
