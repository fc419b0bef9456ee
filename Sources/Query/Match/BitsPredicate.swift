import BSON
import Core

/// `$bitsAllSet`, `$bitsAnySet`, `$bitsAllClear`, `$bitsAnyClear`: bits of integers and of binary data.
final class BitsPredicate: ValuePredicate {
    enum Test: String {
        case allSet = "$bitsAllSet"
        case anySet = "$bitsAnySet"
        case allClear = "$bitsAllClear"
        case anyClear = "$bitsAnyClear"
    }

    let test: Test
    /// Positions to look at, ascending; bit 0 is the lowest of the first byte.
    let positions: [Int]
    let source: Value

    init(_ test: Test, _ operand: ValueView) throws(ServerError) {
        self.test = test
        source = Value(operand)
        positions = try BitsPredicate.positions(test.rawValue, operand)
    }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let value else { return false }
        if let (subtype, content) = value.asBinary {
            let bytes = BitsPredicate.stored(subtype, content)
            return holds { position in
                position / 8 < bytes.count && bytes[position / 8] & (1 << UInt8(truncatingIfNeeded: position % 8)) != 0
            }
        }
        guard let number = value.asInteger else { return false }
        // Beyond bit 63 an integer goes on with its sign.
        return holds { position in number >> Int64(min(position, 63)) & 1 != 0 }
    }

    /// The bytes as BSON stores them: data of the old subtype 2 have their length in front.
    private static func stored(_ subtype: UInt8, _ content: UnsafeRawBufferPointer) -> [UInt8] {
        guard subtype == 2 else { return [UInt8](content) }
        return withUnsafeBytes(of: Int32(clamping: content.count).littleEndian) { [UInt8]($0) } + content
    }

    private func holds(_ isSet: (Int) -> Bool) -> Bool {
        switch test {
        case .allSet: positions.allSatisfy(isSet)
        case .anySet: positions.contains(where: isSet)
        case .allClear: !positions.contains(where: isSet)
        case .anyClear: !positions.allSatisfy(isSet)
        }
    }

    override func describe() -> Document { [test.rawValue: source] }

    private static func positions(_ name: String, _ operand: ValueView) throws(ServerError) -> [Int] {
        if let (_, bytes) = operand.asBinary {
            return (0..<bytes.count * 8).filter { bytes[$0 / 8] & (1 << UInt8(truncatingIfNeeded: $0 % 8)) != 0 }
        }
        if operand.type.isNumber {
            guard let mask = operand.asInteger else {
                throw ServerError(.failedToParse, "Expected an integer: \(name): \(describe(operand))")
            }
            guard mask >= 0 else {
                throw ServerError(.failedToParse, "Expected a non-negative number in: \(name): \(describe(operand))")
            }
            return (0..<63).filter { mask >> Int64($0) & 1 != 0 }
        }
        guard let list = operand.asArray else {
            throw ServerError(
                .badValue, "\(name) takes an Array, a number, or a BinData but received: \(name): \(describe(operand))")
        }
        var positions: [Int] = []
        for (index, element) in list.enumerated() {
            guard element.value.type.isNumber, let position = element.value.asInteger else {
                throw ServerError(
                    .badValue,
                    "Failed to parse bit position. Expected a number in: \(index): \(describe(element.value))")
            }
            guard position >= 0, position <= Int64(Int32.max) else {
                throw ServerError(
                    .badValue,
                    "Failed to parse bit position. Expected a non-negative number in: \(index): "
                        + describe(element.value)
                )
            }
            positions.append(Int(position))
        }
        return positions.sorted()
    }

    private static func describe(_ value: ValueView) -> String { ValueText.text(Value(value)) }
}
