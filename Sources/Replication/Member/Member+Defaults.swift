public import Core

extension Member {
    /// What a write without a write concern gets: what the configuration says (`getLastErrorDefaults`), what the set
    /// was told (`setDefaultRWConcern`), else the implicit default. The first two exclude one another.
    public var defaultWriteConcern: WriteConcern {
        var concern: WriteConcern
        if let chosen = config?.settings.writeConcernDefault {
            concern = chosen
            concern.provenance = .getLastErrorDefaults
        } else if let chosen = clusterDefault {
            concern = chosen
            concern.provenance = .customDefault
        } else {
            concern = config?.implicitDefaultIsMajority == false ? .acknowledged : .majority
            concern.provenance = .implicitDefault
        }
        return concern
    }

    /// The data of this member say what the set's default is: it is replicated like all data.
    public mutating func onDefaultWriteConcern(_ concern: WriteConcern?, now: Instant) -> [Directive] {
        clusterDefault = concern
        return settle(now)
    }

    /// Why a default write concern cannot be set for the whole set.
    public func obstacle(toDefault concern: WriteConcern) -> ServerError? {
        if let config, config.settings.writeConcernDefault != nil {
            return ServerError(
                .illegalOperation,
                "the configuration has 'settings.getLastErrorDefaults': take it out by a reconfiguration first")
        }
        if case .number(0) = concern.w {
            return ServerError(
                .badValue, "Unacknowledged write concern is not suitable for the default write concern")
        }
        return unsatisfiable(concern)
    }
}
