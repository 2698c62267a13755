/// Why a live run cannot begin or was given up, as one sentence for its user.
public struct LiveError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    package init(_ description: String) { self.description = description }
}
