public import BSON
internal import CHooks

/// What is said when a signal ends the process: Swift's traps are signals, and nothing else tells which command ran.
public enum CrashReport {
    /// From now on a line on stderr names the signal, the loop and the command. For programs, not for libraries.
    public static func install() { chooks_report_crashes() }

    /// The calling thread runs a command. Copies what it needs: some tens of bytes, a few nanoseconds.
    @inline(__always)
    public static func begin(_ command: DocumentView, database: UnsafeRawBufferPointer?) {
        guard let first = command.first else { return }
        let collection = first.value.asStringBytes
        chooks_command_began(
            first.key.base, first.key.count, database?.baseAddress, database?.count ?? 0, collection?.baseAddress,
            collection?.count ?? 0)
    }

    /// The command is over, or others run before it goes on.
    @inline(__always) public static func end() { chooks_command_ended() }
}
