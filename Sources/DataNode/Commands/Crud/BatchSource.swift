internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

extension QueryCursor: BatchSource {
    func appendBesideBatch(to reply: DocumentWriter) { sortKeys?.write(to: reply, as: "sortKeys") }

    func willContinue(until deadline: Instant) { budget?.deadline = deadline }
}

extension AggregateCursor: BatchSource {
    func willContinue(until deadline: Instant) { budget?.deadline = deadline }
}
