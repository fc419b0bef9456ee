import BSON
import Core
import Replication

/// Configurations are safe (I20): a (term, version) names one of them, any two that could both elect a primary share a
/// voter in every pair of quorums, and none takes the place of one that a majority does not hold.
struct ConfigChecker {
    private var known: [ConfigVersion: ReplicaSetConfig] = [:]
    /// Who has ever held which.
    private var holders: [ConfigVersion: Set<MemberID>] = [:]

    /// A member has installed `config` in the place of `previous`. Returns what is wrong.
    mutating func noted(
        _ config: ReplicaSetConfig, after previous: ConfigVersion, by installer: Member, _ name: String,
        among members: [Member]
    ) -> String? {
        let version = config.configVersion
        if let id = installer.ownID { holders[version, default: []].insert(id) }
        if installer.isPrimary, let problem = replaced(previous, with: config, by: name) { return problem }
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

    /// A primary has changed its configuration: a majority of the voters must hold the one before it.
    private func replaced(_ previous: ConfigVersion, with config: ReplicaSetConfig, by name: String) -> String? {
        guard previous.term == config.term, config.term != ConfigVersion.uninitializedTerm, let old = known[previous]
        else { return nil }
        let holding = holders[previous] ?? []
        let count = old.members.count { $0.isVoter && holding.contains($0.id) }
        guard count < old.votingMajority else { return nil }
        return "\(name) replaced the configuration \(previous), which \(count) voters of \(old.votingMajority) hold"
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
