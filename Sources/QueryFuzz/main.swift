import BSON
import Core
import Glibc

// query-fuzz WORDS SECONDS SEED RECORD: runs cases one after the other, each made from the seed and its number. The
// number is in the file RECORD before the case runs, so that a trap names it.
// query-fuzz WORDS show SEED NUMBER: prints a case, then runs it.

func lines(of path: String) -> [String] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var lines: [String] = []
    var buffer = [CChar](repeating: 0, count: 4096)
    while fgets(&buffer, Int32(buffer.count), file) != nil {
        let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        lines.append(String(decoding: bytes, as: UTF8.self))
    }
    return lines
}

func seconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec
}

func caseSeed(_ seed: UInt64, _ number: UInt64) -> UInt64 { SplitMix64.mix(seed) &+ number }

func describe(_ one: FuzzCase, _ number: UInt64) {
    say("case \(number), \(one.role): \((["v": one.specification] as Document).extendedJSON(.canonical))")
    for document in one.documents { say("  over \(document.extendedJSON(.canonical))") }
}

let arguments = CommandLine.arguments
guard arguments.count == 5 else {
    print("usage: query-fuzz WORDS SECONDS SEED RECORD | query-fuzz WORDS show SEED NUMBER")
    exit(2)
}
/// A line that is there even when the next case traps.
func say(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(STDOUT_FILENO, line, line.count)
}

let vocabulary = Vocabulary(lines(of: arguments[1]))
if arguments[2] == "show" {
    let (seed, number) = (UInt64(arguments[3]) ?? 0, UInt64(arguments[4]) ?? 0)
    var one = FuzzCase(seed: caseSeed(seed, number), vocabulary)
    describe(one, number)
    try one.run()
    exit(0)
}
let (limit, seed) = (Int(arguments[2]) ?? 60, UInt64(arguments[3]) ?? 0)
say(
    "\(vocabulary.expressions.count) expressions, \(vocabulary.accumulators.count) accumulators, "
        + "\(vocabulary.stages.count) stages, \(vocabulary.fieldOperators.count) query operators, "
        + "\(vocabulary.updateOperators.count) update operators")
let record = open(arguments[4], O_WRONLY | O_CREAT | O_TRUNC, 0o644)
let start = seconds()
var number: UInt64 = 0
var faults = 0
while seconds() - start < limit {
    for _ in 0..<64 {
        number += 1
        let text = Array("\(seed) \(number)                    ".utf8)
        _ = pwrite(record, text, text.count, 0)
        var one = FuzzCase(seed: caseSeed(seed, number), vocabulary)
        do { try one.run() } catch {
            faults += 1
            say("FAULT: \(error)")
            describe(one, number)
        }
    }
    if faults > 20 { break }
}
say("\(number) cases, \(faults) faults")
exit(faults == 0 ? 0 : 1)
