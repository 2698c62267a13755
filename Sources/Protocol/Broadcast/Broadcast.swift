public struct BroadcastConfiguration: Hashable, Sendable {
    public init() {}
}

public struct Broadcast: ~Copyable {
    public enum Timer: Hashable, Sendable { case announce }
}
