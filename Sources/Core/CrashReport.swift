public import BSON
internal import CHooks

/// What is said when a signal ends the process: Swift's traps are signals, and nothing else tells which command ran.
public enum CrashReport {
    /// From now on a line on stderr names the signal, the loop and the command. For programs, not for libraries.
    public static func install() { chooks_report_crashes() }

    /// The calling thread runs a command, whose bytes stay where they are until it ends, or until the job ends that the
    /// loop is running.
    @inline(__always)
    public static func begin(_ command: DocumentView, database: UnsafeRawBufferPointer?) {
        chooks_command_began(command.base, database?.baseAddress, database?.count ?? 0)
    }

    /// Whether the line would name a command now.
    package static var namesCommand: Bool { chooks_command_runs() }

    /// The command is over, or others run before it goes on.
    @inline(__always) public static func end() { chooks_command_ended() }
}
