import BSON
import Core

/// What an operator does to a set.
extension RandomFaults {
    mutating func stepDown() -> Bool {
        guard let primary = set.primary else { return false }
        let seconds = Int32(1 + generator.next(below: 3))
        send(
            primary,
            [
                "replSetStepDown": .int32(seconds), "secondaryCatchUpPeriodSecs": 1,
                "force": .bool(generator.nextBool(probability: 0.5)),
            ])
        return true
    }

    mutating func command(_ what: String, _ command: Document) -> Bool {
        guard let member = pick(alive.filter { $0.state == .secondary }) else { return false }
        send(member, command)
        return true
    }

    private func send(_ member: SimulatedMember, _ command: Document) {
        let name = command.fields.first?.key ?? ""
        set.timeline.add(member.name, "COMMAND \(name)")
        member.send(command) { [set] reply in
            if reply["ok"]?.asNumber != 1 {
                set.timeline.add(member.name, "\(name) was refused: \(reply["errmsg"]?.asString ?? "?")")
            }
        }
    }

    // MARK: Reconfiguration

    /// Changes the primary's configuration as an operator does: reads it, changes it, sends it back.
    private func reconfigure(_ change: @escaping ([Value]) -> [Value]?) -> Bool {
        guard let primary = set.primary else { return false }
        let members = self
        primary.send(["replSetGetConfig": 1]) { reply in
            guard let next = ConfigEdit.next(after: reply, changing: change) else { return }
            members.send(primary, ["replSetReconfig": .document(next), "maxTimeMS": 3000])
        }
        return true
    }

    mutating func addMember() -> Bool {
        guard let spare = pick(set.members.filter { $0.kind.votes >= 0 }), spare.isAlive else { return false }
        return reconfigure { list in
            guard list.count < Limits.votersMax, !list.contains(where: { ConfigEdit.id($0) == Int64(spare.id) }) else {
                return nil
            }
            return list + [spare.kind.description(id: spare.id, host: spare.endpoint.description)]
        }
    }

    mutating func removeMember() -> Bool {
        // What is left must be able to elect, and to lose a member.
        guard let victim = pick(set.members), set.members.count > 3, victim !== set.primary else { return false }
        return reconfigure { [set] list in
            let rest = list.filter { ConfigEdit.id($0) != Int64(victim.id) }
            let useful = rest.filter { member in
                guard let id = ConfigEdit.id(member) else { return false }
                return set.members[Int(id)].kind.votes > 0 && !set.members[Int(id)].kind.isArbiter
            }
            return rest.count < list.count && useful.count >= 3 ? rest : nil
        }
    }

    mutating func changePriority() -> Bool {
        guard let member = pick(set.members), member.kind.priority > 0 else { return false }
        let priority = Int32(1 + generator.next(below: 4))
        return reconfigure { list in
            list.map { value in
                guard ConfigEdit.id(value) == Int64(member.id), let old = value.asDocument else { return value }
                var changed = Document()
                for field in old.fields where field.key != "priority" { changed.append(field.key, field.value) }
                changed.append("priority", .int32(priority))
                return .document(changed)
            }
        }
    }

    /// Lets one secondary follow another, and takes that one away.
    mutating func killChainedSource() -> Bool {
        let secondaries = alive.filter { $0.state == .secondary && !$0.kind.isArbiter }
        guard let source = pick(secondaries), let follower = pick(secondaries.filter { $0 !== source }) else {
            return false
        }
        send(follower, ["replSetSyncFrom": .string(source.endpoint.description)])
        let crashes = set.remembers && generator.nextBool(probability: 0.5)
        set.later(milliseconds(1..<500)) { [end, set] in
            guard !end.hasCome, source.isAlive, !source.isPaused else { return }
            if crashes { return source.crash() }
            source.pause()
            set.wake(source, after: .seconds(3))
        }
        return true
    }
}
