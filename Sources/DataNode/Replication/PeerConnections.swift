internal import BSON
internal import Core

/// The connections of this member to the others, for `connPoolStats`. Each link has one of its own: what MongoDB calls
/// available is one that waits for no answer.
final class PeerConnections {
    private struct Followed {
        let host: String
        weak var link: PeerLink?
    }

    struct Statistics {
        var inUse = 0
        var available = 0
        var created = 0

        func write(to writer: DocumentWriter) {
            writer.append("inUse", int32: Int32(clamping: inUse))
            writer.append("available", int32: Int32(clamping: available))
            writer.append("created", int32: Int32(clamping: created))
            writer.append("refreshing", int32: 0)
        }
    }

    private var followed: [Followed] = []
    /// Connections that were begun since the start, by host.
    private var created: [String: Int] = [:]

    /// Counts a link among the host's for as long as it lives.
    func follow(_ link: PeerLink, to host: String) {
        followed.removeAll { $0.link == nil }
        followed.append(Followed(host: host, link: link))
        link.onConnect = { [weak self] in self?.created[host, default: 0] += 1 }
    }

    /// One for each host that was ever connected to, in the order of their names.
    var byHost: [(host: String, statistics: Statistics)] {
        created.sorted { $0.key < $1.key }.map { host, count in
            var statistics = Statistics(created: count)
            for entry in followed where entry.host == host {
                guard let link = entry.link, link.isConnected else { continue }
                if link.isInUse { statistics.inUse += 1 } else { statistics.available += 1 }
            }
            return (host, statistics)
        }
    }
}
