package import Frontend

/// What data nodes answer, for a service that stands in front of them.
package enum DataCommands {
    /// The commands as they are declared, those of members among them.
    package static var declarations: [CommandDeclaration] { CommandSet.all.map { $0.declaration } }
}
