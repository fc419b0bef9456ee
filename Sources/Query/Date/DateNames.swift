/// English names in dates.
enum DateNames {
    static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]
    private static let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

    /// The month that a word in lower case names: in full, by three letters, or as `sept`.
    static func month(_ word: String) -> Int? {
        if word == "sept" { return 9 }
        return months.firstIndex { $0.lowercased() == word || $0.lowercased().prefix(3) == word }.map { $0 + 1 }
    }

    /// 1 for Monday to 7 for Sunday, of a word in lower case.
    static func weekday(_ word: String) -> Int? {
        days.firstIndex { $0 == word || $0.prefix(3) == word }.map { $0 + 1 }
    }

    /// Seconds east of Greenwich of abbreviations that texts of dates carry (RFC 5322 and the usual ones of Europe);
    /// nil for other words. Not zones: an abbreviation is one offset.
    static func offset(_ word: String) -> Int64? {
        switch word {
        case "z", "ut", "utc", "gmt", "wet": 0
        case "bst", "cet", "west": 3600
        case "cest", "eet": 7200
        case "eest", "msk": 10_800
        case "est", "cdt": -18_000
        case "edt": -14_400
        case "cst", "mdt": -21_600
        case "mst", "pdt": -25_200
        case "pst": -28_800
        default: nil
        }
    }
}
