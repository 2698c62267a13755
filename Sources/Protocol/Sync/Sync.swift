public struct SyncConfiguration: Hashable, Sendable {
    public init() {}
}

public struct Sync: ~Copyable {
    public enum Timer: Hashable, Sendable { case period }
}
