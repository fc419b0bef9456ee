import Core

/// Who is behind the names of a proposed configuration. A name does not say whose it is: this node may be known under
/// several, and two of them may lead to one and the same member. So every name that is new is asked, and the run of the
/// process that answers tells them apart.
struct RollCall: Sendable {
    /// One process, in one incarnation.
    struct Voice: Sendable, Equatable {
        let run: UInt64
        let incarnation: Incarnation
    }

    /// Who answers, by place in the configuration; nil when that is not known.
    private(set) var voices: [Voice?]
    /// Hosts that are of another set, and how they said so.
    private(set) var strangers: [(place: Int, why: String)] = []
    /// The question under way to each place.
    private var awaited: [Exchange?]
    /// When those who have not answered count as silent.
    let deadline: Instant

    init(places: Int, deadline: Instant) {
        voices = Array(repeating: nil, count: places)
        awaited = Array(repeating: nil, count: places)
        self.deadline = deadline
    }

    var isComplete: Bool { awaited.allSatisfy { $0 == nil } }
    var firstAwaited: Int? { awaited.firstIndex { $0 != nil } }

    func place(of exchange: Exchange) -> Int? { awaited.firstIndex(of: exchange) }

    mutating func ask(_ place: Int, _ exchange: Exchange) { awaited[place] = exchange }

    /// Known, or answered.
    mutating func note(_ voice: Voice, at place: Int) {
        voices[place] = voice
        awaited[place] = nil
    }

    mutating func noteStranger(_ why: String, at place: Int) {
        strangers.append((place, why))
        awaited[place] = nil
    }

    mutating func noteSilence(at place: Int) { awaited[place] = nil }

    mutating func giveUp() { awaited = Array(repeating: nil, count: awaited.count) }

    /// Two places where the same process answers.
    var doubled: (Int, Int)? {
        for (later, voice) in voices.enumerated() {
            guard let voice, let earlier = voices[..<later].firstIndex(where: { $0?.run == voice.run }) else {
                continue
            }
            return (earlier, later)
        }
        return nil
    }

    func places(of run: UInt64) -> [Int] { voices.indices.filter { voices[$0]?.run == run } }
}
