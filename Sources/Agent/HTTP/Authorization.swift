import HTTPTypes

/// Who may ask: the endpoint that a request names, and its bearer token. Applies to every route, and to paths that are none.
struct Authorization: Sendable {
    var endpointName: String?
    var bearerToken: String?

    private static let requestedEndpoint = HTTPField.Name("x-corrosion-requested-endpoint-name")

    /// The answer when the request is not allowed; nil when it is.
    func refusal(of head: HTTPRequest) -> APIReply? {
        if let endpointName, let field = Self.requestedEndpoint, let requested = head.headerFields[field] {
            // What was not UTF-8 has replacement characters by now.
            guard !requested.unicodeScalars.contains("\u{FFFD}") else { return .empty(.badRequest) }
            guard requested == endpointName else { return .empty(.misdirectedRequest) }
        }
        let given = head.headerFields[values: .authorization]
        guard given.count <= 1 else { return .text(.badRequest, "more than one authorization header") }
        guard let header = given.first else { return bearerToken == nil ? nil : .unauthorized }
        let parts = header.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        // As in Corrosion, also when no token is wanted: a header of another scheme is a mistake.
        guard parts.count == 2, parts[0].lowercased() == "bearer", let token = parts.last?.drop(while: { $0 == " " }), !token.isEmpty else {
            return .text(.badRequest, "the authorization header must be: Bearer TOKEN")
        }
        guard let bearerToken else { return nil }
        return Self.isEqual(Array(token.utf8), Array(bearerToken.utf8)) ? nil : .unauthorized
    }

    /// Takes the same time wherever the difference is.
    private static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        var difference = UInt8(left.count == right.count ? 0 : 1)
        for index in right.indices { difference |= right[index] ^ (index < left.count ? left[index] : 0) }
        return difference == 0
    }
}
