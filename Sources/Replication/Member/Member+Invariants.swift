public import Core

extension Member {
    /// Checks what must hold between events, of this member alone: nothing that others say may break it. The simulator
    /// calls it after each; live, the shell after each change of role.
    public func checkInvariants() throws(InvariantViolation) {
        try invariant(peers.count == config?.members.count ?? 0, "one peer for each member of the configuration")
        try invariant(leadership == nil || candidacy == nil, "a primary does not stand")
        try invariant(
            progress.applied <= progress.written, "applied \(progress.applied) is beyond written \(progress.written)")
        try invariant(directives.isEmpty, "directives are left over")
        if let vote = lastVote {
            try invariant(vote.term <= term, "voted in term \(vote.term), which is beyond ours, \(term)")
        }
        if let config, config.term != ConfigVersion.uninitializedTerm {
            try invariant(config.term <= term, "the configuration's term \(config.term) is beyond ours, \(term)")
        }
        if let candidacy {
            try invariant(
                candidacy.phase == .dryRun || lastVote?.term == candidacy.term, "a candidate votes for itself")
            try invariant(candidacy.term == term, "a candidate stands in its own term")
            try invariant(candidacy.config == config?.configVersion, "a candidacy outlived its configuration")
        }
        guard let leadership, let selfIndex else {
            return try invariant(self.leadership == nil, "primary without a place in the configuration")
        }
        try invariant(primaryID == config?.members[selfIndex].id, "a primary knows itself")
        try invariant(syncSource == nil || leadership.mode == .catchingUp, "a primary does not fetch")
        try invariant(lastVote?.term == term, "a primary voted for itself in its term")
        if let first = leadership.firstOpTime {
            try invariant(first.term == term, "the first entry of the term is of the term")
        } else {
            try invariant(
                leadership.mode == .catchingUp || leadership.mode == .draining, "writable without a first entry")
        }
    }
}
