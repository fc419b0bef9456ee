import BSON

/// Validate, walk, find and build four typical documents: a small record, a wide one, an array of records, a vector.
enum BSONBenchmark {
    static func run() {
        for kind in BSONSample.allCases {
            let bytes = ByteBuffer()
            kind.write(to: bytes)
            let raw = bytes.bytes
            guard let view = try? DocumentView.validate(raw) else { fatalError("\(kind) is not valid BSON") }
            let elements = walk(view)
            let scratch = ByteBuffer(capacity: 1 << 16)
            let validate = nanoseconds { if (try? DocumentView.validate(raw)) == nil { fatalError("not valid") } }
            let iterate = nanoseconds { blackHole(walk(view)) }
            let lookup = nanoseconds { blackHole(kind.lastField(of: view) ? 1 : 0) }
            let encode = nanoseconds {
                scratch.removeAll()
                kind.write(to: scratch)
            }
            print(
                #"{"doc":"\#(kind.rawValue)","bytes":\#(raw.count),"elements":\#(elements),"encode_ns":\#(encode),"#
                    + #""validate_ns":\#(validate),"iterate_ns":\#(iterate),"lookup_ns":\#(lookup)}"#)
        }
    }

    /// The number of fields, nested ones included.
    static func walk(_ document: DocumentView) -> Int {
        var count = 0
        for element in document {
            count += 1
            if let nested = element.value.asDocument ?? element.value.asArray { count += walk(nested) }
        }
        return count
    }

    /// The time of one call: the best of several rounds, so that a busy machine does not show.
    static func nanoseconds(_ body: () -> Void) -> Int {
        let clock = ContinuousClock()
        var batch = 16
        var best = Int.max
        for _ in 0..<40 {
            var elapsed = clock.measure { for _ in 0..<batch { body() } }
            while elapsed < .milliseconds(3) {
                batch *= 2
                elapsed = clock.measure { for _ in 0..<batch { body() } }
            }
            let attoseconds = elapsed.components.attoseconds + elapsed.components.seconds * 1_000_000_000_000_000_000
            best = min(best, Int(attoseconds / 1_000_000_000) / batch)
        }
        return best
    }

    @inline(never) @_optimize(none) static func blackHole(_ value: Int) {}
}
