package import BSON
internal import Core
internal import Wire

extension Request {
    /// The request without the optional fields that are null, and what holds its new command document.
    ///
    /// Drivers and their users write null for what they leave out, and MongoDB takes it so. Dropping such fields here
    /// means that no command has to think of it.
    func droppingNulls(of command: RegisteredCommand) -> (request: Request, holder: ByteBuffer) {
        let holder = ByteBuffer(capacity: body.byteCount)
        let writer = DocumentWriter(startingIn: holder)
        command.copy(body, to: writer)
        writer.finish()
        return (replacing(body: DocumentView(base: UnsafeRawPointer(holder.base))), holder)
    }
}

extension RegisteredCommand {
    /// Copies a command document without the optional fields that are null.
    package final func copy(_ body: DocumentView, to writer: DocumentWriter) {
        var isFirst = true
        for element in body {
            if isFirst || !element.value.isNullish || keepsNull(element.key) {
                writer.append(element.key, element.value)
            }
            isFirst = false
        }
    }

    /// Whether null is a value of that field, and does not mean that it was left out.
    fileprivate func keepsNull(_ key: KeyView) -> Bool {
        guard let field = fields[key] else { return key == "comment" || fields.isOpen }
        return field.types == .any && field.isWorking
    }
}
