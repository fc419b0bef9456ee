import Core
import Testing

@testable import Wire

@Suite("Requests in flight keep their order") struct RequestsInFlightTests {
    private func table(_ ids: [Int32]) -> RequestsInFlight {
        var table = RequestsInFlight()
        for id in ids { table.add(.init(id: id, sentAt: .zero, timeout: nil, timer: nil) { _ in }) }
        return table
    }

    @Test("whatever is taken out, the rest stays in the order of sending, over the end of the numbers too")
    func order() {
        var table = table([.max - 1, .max, 1, 2, 3])
        #expect(table.remove(1)?.id == 1)
        #expect(table.remove(1)?.id == nil)
        #expect(table.removeAll().map(\.id) == [.max - 1, .max, 2, 3])
        #expect(table.isEmpty)
    }

    @Test("alone is who is the only one")
    func alone() {
        #expect(table([7]).isAlone(7))
        #expect(!table([7]).isAlone(8))
        #expect(!table([7, 8]).isAlone(7))
    }
}
