import BSON
import Core
import Testing
import Wire

@testable import CommandLine

/// The arithmetic of `quorate bench`.
@Suite struct BenchTests {
    @Test("percentiles agree with a sorted list to within a bucket's width")
    func percentiles() {
        var histogram = LatencyHistogram()
        var values: [Int64] = []
        var state: UInt64 = 7
        for _ in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = Int64((state >> 33) >> (state >> 59))
            values.append(value)
            histogram.record(nanoseconds: value)
        }
        values.sort()
        for fraction in [0.01, 0.5, 0.95, 0.99, 0.999, 1] {
            let exact = values[max(0, Int((Double(values.count) * fraction).rounded(.up)) - 1)]
            let measured = histogram.nanoseconds(at: fraction)
            #expect(measured >= exact && Double(measured) <= Double(exact) * 1.016 + 1, "at \(fraction)")
        }
        #expect(histogram.maximum == values.last)
        #expect(histogram.count == 20_000)
    }

    @Test("every duration falls into a bucket that ends at or behind it")
    func buckets() {
        for shift in 0..<63 {
            for value in [UInt64(1) << shift, (UInt64(1) << shift) + 1, (UInt64(1) << shift) - 1] {
                let bucket = LatencyHistogram.bucket(of: value)
                #expect(UInt64(LatencyHistogram.upperEnd(of: bucket)) >= value)
                #expect(bucket == 0 || UInt64(LatencyHistogram.upperEnd(of: bucket - 1)) < value)
            }
        }
        var empty = LatencyHistogram()
        #expect(empty.nanoseconds(at: 0.5) == 0)
        empty.record(nanoseconds: -5)
        #expect(empty.nanoseconds(at: 1) == 0)
    }

    @Test("a request's bytes are a message with the key and the number put in")
    func requestBytes() throws {
        var settings = BenchSettings()
        settings.documentBytes = 300
        let requests = BenchRequests(settings)
        let output = ByteBuffer()
        requests.insert.append(to: output, requestID: 77, key: 4242)
        let header = MessageHeader(at: output.base)
        #expect(header.requestID == 77)
        #expect(Int(header.messageLength) == output.count)
        let body = try DocumentView.validate(UnsafeRawBufferPointer(rebasing: output.bytes[21...])).document
        let inserted = body["documents"]?.asArray?.first?.asDocument
        #expect(inserted?["_id"] == .int64(4242))
        #expect(inserted?.byteCount == 300)
        #expect(body["$db"] == "quorate_bench")
        output.removeAll()
        requests.read.append(to: output, requestID: 1, key: -1)
        let read = try DocumentView.validate(UnsafeRawBufferPointer(rebasing: output.bytes[21...])).document
        #expect(read["filter"]?.asDocument?["_id"] == .int64(-1))
        #expect(read["$readPreference"] == nil)
        output.removeAll()
        settings.readPreference = .secondaryPreferred
        BenchRequests(settings).read.append(to: output, requestID: 1, key: -1)
        let elsewhere = try DocumentView.validate(UnsafeRawBufferPointer(rebasing: output.bytes[21...])).document
        #expect(elsewhere["$readPreference"]?.asDocument == ["mode": "secondaryPreferred"])
    }

    @Test("numbers and strings are written as JSON has them")
    func json() {
        #expect(BenchReport.fixed(0, digits: 1) == "0.0")
        #expect(BenchReport.fixed(1234.0449, digits: 3) == "1234.045")
        #expect(BenchReport.fixed(99.96, digits: 1) == "100.0")
        #expect(BenchReport.fixed(7.5, digits: 0) == "8")
        #expect(BenchReport.fixed(.nan, digits: 2) == "0")
        #expect(BenchReport.quoted("a\"b\\c\n\u{1}") == "\"a\\\"b\\\\c\\n\\u0001\"")
    }
}
