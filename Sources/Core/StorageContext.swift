/// What the storage engine of one member is made from. Made for each start of a member, on its loop.
public struct StorageContext {
    /// The member's clock, timers, helper threads and log.
    public let runtime: any NodeRuntime
    /// The directory that is the member's own, which may not exist yet; nil when none was named.
    public let directory: String?
    /// As log lines name the member: `rs0-1`.
    public let memberName: String
    /// Those of the part.
    public let options: PartOptions

    public init(
        runtime: any NodeRuntime, directory: String? = nil, memberName: String, options: PartOptions = PartOptions()
    ) {
        self.runtime = runtime
        self.directory = directory
        self.memberName = memberName
        self.options = options
    }
}
