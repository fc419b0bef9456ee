/// What the server says it is. Clients decide by these what they may send (the drivers' specification
/// "Wire Version Featurelist" says what with which).
package enum ServerVersion {
    /// The MongoDB version whose behaviour is followed.
    package static let mongoDB = "8.0.0"
    package static let mongoDBParts: [Int32] = [8, 0, 0, 0]
    /// Quorate's own version.
    package static let quorate = "0.1.0"
    package static let wireMin: Int32 = 0
    /// MongoDB 8.0's.
    package static let wireMax: Int32 = 25
    package static let sessionTimeoutMinutes: Int32 = 30
}
