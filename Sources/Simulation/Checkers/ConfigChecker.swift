import BSON
import Core
import Replication

/// Configurations are safe (I20): a (term, version) names one of them, and any two that could both elect a primary
/// share a voter in every pair of quorums.
struct ConfigChecker {
    private var known: [ConfigVersion: ReplicaSetConfig] = [:]
    private var forced: Set<ConfigVersion> = []

    /// A member has installed `config`. Returns what is wrong.
    mutating func noted(_ config: ReplicaSetConfig, by name: String, among members: [Member]) -> String? {
        let version = config.configVersion
        if let other = known[version] {
            if other != config { return "\(name) has another configuration \(version) than a member before it" }
        } else {
            known[version] = config
        }
        // A forced configuration promises nothing.
        guard config.term != ConfigVersion.uninitializedTerm || config.version == 1 else { return nil }
        let held = members.compactMap(\.config).filter { $0.term != ConfigVersion.uninitializedTerm }
        guard canElect(config, members) else { return nil }
        for other in held where other.configVersion != version && canElect(other, members) {
            if !quorumsMeet(config, other) {
                return "the configurations \(version) and \(other.configVersion) could elect a primary each"
            }
        }
        return nil
    }

    /// Whether a majority of its voters hold nothing newer: those would refuse.
    private func canElect(_ config: ReplicaSetConfig, _ members: [Member]) -> Bool {
        let willing = config.members.filter { voter in
            guard voter.isVoter, let member = members.first(where: { $0.ownID == voter.id }) else { return false }
            guard voter.incarnation == nil || voter.incarnation == member.incarnation else { return false }
            guard let theirs = member.config?.configVersion else { return false }
            return !config.configVersion.isOlder(than: theirs)
        }
        return willing.count >= config.votingMajority
    }

    private func quorumsMeet(_ a: ReplicaSetConfig, _ b: ReplicaSetConfig) -> Bool {
        let left = Set(a.members.filter(\.isVoter).map(\.id))
        let right = Set(b.members.filter(\.isVoter).map(\.id))
        return a.votingMajority + b.votingMajority > left.union(right).count
    }
}
