/// What the server says it is. Clients decide by these what they may send (clients.md, "ten facts").
public enum ServerVersion {
    /// The MongoDB version whose behaviour is followed.
    public static let mongoDB = "8.0.0"
    static let mongoDBParts: [Int32] = [8, 0, 0, 0]
    /// Quorate's own version.
    public static let quorate = "0.1.0"
    static let wireMin: Int32 = 0
    /// MongoDB 8.0's.
    static let wireMax: Int32 = 25
    static let sessionTimeoutMinutes: Int32 = 30
}
