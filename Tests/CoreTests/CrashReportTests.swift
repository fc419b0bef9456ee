import BSON
import Glibc
import Testing

@testable import Core

@Suite("The line about a crash")
struct CrashReportTests {
    @Test("a trap names its signal and the command that ran, and ends the process as before")
    func trap() async throws {
        let result = try await #require(
            processExitsWith: .signal(SIGILL), observing: [\.standardErrorContent]
        ) {
            CrashReport.install()
            (["find": "things\u{1}", "filter": [:]] as Document).withView { command in
                ("shop" as StaticString).withUTF8Buffer { database in
                    CrashReport.begin(command, database: UnsafeRawBufferPointer(database))
                    raise(SIGILL)
                }
            }
        }
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("quorate: ended by SIGILL"))
        #expect(text.contains(", running find on shop.things?\n"))
    }

    @Test("a crash outside of a command names none")
    func idle() async throws {
        let result = try await #require(
            processExitsWith: .signal(SIGSEGV), observing: [\.standardErrorContent]
        ) {
            CrashReport.install()
            (["ping": 1] as Document).withView { CrashReport.begin($0, database: nil) }
            CrashReport.end()
            raise(SIGSEGV)
        }
        #expect(String(decoding: result.standardErrorContent, as: UTF8.self).contains("quorate: ended by SIGSEGV"))
        #expect(!String(decoding: result.standardErrorContent, as: UTF8.self).contains("running"))
    }

    @Test("names of any length are cut")
    func longNames() async throws {
        await #expect(processExitsWith: .signal(SIGABRT)) {
            CrashReport.install()
            let long = String(repeating: "x", count: 5000)
            (Document { $0.append(long, .string(long)) }).withView { command in
                CrashReport.begin(command, database: command.bytes)
                abort()
            }
        }
    }
}
