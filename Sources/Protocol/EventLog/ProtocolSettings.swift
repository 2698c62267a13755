/// The settings of a node's machines and all its limits, without what makes it this node: what an experiment changes.
public struct ProtocolSettings: Hashable, Sendable {
    public var membership = MembershipConfiguration()
    public var broadcast = BroadcastConfiguration()
    public var sync = SyncConfiguration()
    public var limits = Limits()

    /// The default ones.
    public init() {}

    /// As one program hands them to another of the same build: the encoding that the header of an event log has for them.
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(EventLog.format)
        writer.write(self)
        return writer.bytes
    }

    /// - Throws: when the bytes are something else, or of another format.
    public init(bytes: [UInt8]) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        guard try reader.readByte() == EventLog.format else {
            throw MalformedInput("settings of a protocol in another format than \(EventLog.format)")
        }
        self = try reader.readProtocolSettings()
        guard reader.isAtEnd else { throw MalformedInput("settings of a protocol with something behind them") }
    }
}

extension NodeConfiguration {
    /// Those of its settings that an experiment changes.
    var settings: ProtocolSettings {
        var settings = ProtocolSettings()
        settings.membership = membership
        settings.broadcast = broadcast
        settings.sync = sync
        settings.limits = limits
        return settings
    }
}
