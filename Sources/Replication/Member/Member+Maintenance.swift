public import Core

/// What keeps a member out of elections, and out of reads, for a while.
extension Member {
    // MARK: Freezing

    /// `replSetFreeze`: does not stand for so long; zero ends that.
    public mutating func onFreezeCommand(_ id: RequestID, for period: Duration, now: Instant) -> [Directive] {
        if config == nil {
            directives.append(.complete(id, ServerError(.notYetInitialized, "no replset config has been received")))
        } else if leadership != nil {
            let error = ServerError(.notSecondary, "cannot freeze node when primary or running for election")
            directives.append(.complete(id, error))
        } else if period <= .zero {
            thaw(now)
            directives.append(.complete(id, nil))
        } else {
            abandonCandidacy("frozen", now: now)
            freezeUntil = now + period
            // A primary that steps down now must not count on this member.
            heartbeatEveryone(now)
            directives.append(.complete(id, nil))
        }
        return settle(now)
    }

    mutating func thaw(_ now: Instant) {
        freezeUntil = nil
        heartbeatEveryone(now)
        ask(.started, now: now)
    }

    // MARK: Maintenance

    /// `replSetMaintenance`: switched on, a secondary shows RECOVERING, answers no reads and does not stand; it goes on
    /// replicating. Must be switched off as often as it was switched on.
    public mutating func onMaintenanceCommand(_ id: RequestID, isOn: Bool, now: Instant) -> [Directive] {
        if let error = maintenanceError(isOn: isOn) {
            directives.append(.complete(id, error))
            return settle(now)
        }
        maintenanceDepth += isOn ? 1 : -1
        log(.info, isOn ? "maintenance mode is on" : "maintenance mode is off, \(maintenanceDepth) times still on")
        if isOn { abandonCandidacy("in maintenance mode", now: now) }
        directives.append(.complete(id, nil))
        heartbeatEveryone(now)
        if maintenanceDepth == 0 { ask(.started, now: now) }
        return settle(now)
    }

    private func maintenanceError(isOn: Bool) -> ServerError? {
        guard selfIndex != nil else { return ServerError(.notYetInitialized, "no replset config has been received") }
        if leadership != nil { return ServerError(.notSecondary, "primaries can't modify maintenance mode") }
        if selfConfig?.isArbiter == true {
            return ServerError(.notSecondary, "arbiters hold no data that could be maintained")
        }
        if isOn {
            guard maintenanceDepth < Limits.maintenanceDepthMax else {
                return ServerError(.badValue, "maintenance mode was switched on too often")
            }
            return nil
        }
        return maintenanceDepth > 0 ? nil : ServerError(.operationFailed, "already out of maintenance mode")
    }
}
