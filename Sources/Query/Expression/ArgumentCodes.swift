import Core

/// MongoDB's codes for the arguments of an operator that takes them by name, where it has numbers of its own for them.
struct ArgumentCodes {
    /// The argument is no document.
    let shape: Int32
    /// The document has a field that the operator does not know.
    let unknown: Int32
    /// A field is not there that has to be.
    let missing: [String: Int32]

    static let table: [String: ArgumentCodes] = {
        let add = ArgumentCodes(
            shape: 5_166_400, unknown: 5_166_401,
            missing: ["startDate": 5_166_402, "unit": 5_166_402, "amount": 5_166_402])
        let trim = ArgumentCodes(shape: 50696, unknown: 50694, missing: ["input": 50695])
        let replace = ArgumentCodes(
            shape: 51751, unknown: 51750, missing: ["input": 51749, "find": 51748, "replacement": 51747])
        let regex = ArgumentCodes(shape: 51103, unknown: 31024, missing: ["input": 31022, "regex": 31023])
        return [
            "$dateAdd": add, "$dateSubtract": add,
            "$dateDiff": ArgumentCodes(
                shape: 5_166_301, unknown: 5_166_302,
                missing: ["startDate": 5_166_303, "endDate": 5_166_304, "unit": 5_166_305]),
            "$dateTrunc": ArgumentCodes(
                shape: 5_439_007, unknown: 5_439_008, missing: ["date": 5_439_009, "unit": 5_439_010]),
            "$dateToString": ArgumentCodes(shape: 18629, unknown: 18534, missing: ["date": 18628]),
            "$dateFromString": ArgumentCodes(shape: 40540, unknown: 40541, missing: ["dateString": 40542]),
            "$dateToParts": ArgumentCodes(shape: 40524, unknown: 40520, missing: ["date": 40522]),
            "$trim": trim, "$ltrim": trim, "$rtrim": trim,
            "$replaceOne": replace, "$replaceAll": replace,
            "$regexMatch": regex, "$regexFind": regex, "$regexFindAll": regex,
            "$dateFromParts": ArgumentCodes(shape: 40519, unknown: 40518, missing: [:]),
        ]
    }()
}
