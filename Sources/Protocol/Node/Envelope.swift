/// What stands before everything that crosses the network: wire version, cluster, kind. Four bytes.
///
/// A datagram and a message carry one envelope and one body. A session carries one envelope at the start of each
/// direction, then frames. `docs/wire-format.md` has the rules; membership's machine never sees an envelope.
public struct Envelope: Hashable, Sendable {
    /// The only wire version that this build writes and reads. It changes when a reader of the old format could
    /// misread the new one; new fields and kinds do not change it.
    public static let wireVersion: UInt8 = 1
    /// Bytes that an envelope takes: version, cluster (little endian), kind.
    public static let overhead = 4

    public var cluster: UInt16
    /// The kind as it came. `MessageKind(rawValue:)` is nil for kinds of later builds: skipped and counted.
    public var kind: UInt8

    public init(cluster: UInt16, kind: MessageKind) {
        self.cluster = cluster
        self.kind = kind.rawValue
    }

    private init(cluster: UInt16, rawKind: UInt8) {
        self.cluster = cluster
        kind = rawKind
    }

    /// A writer that holds the envelope already: the body is appended in place, without a copy.
    public func writer(capacity: Int = 0) -> ByteWriter {
        var writer = ByteWriter(capacity: Envelope.overhead + capacity)
        writer.write(Envelope.wireVersion)
        writer.write(cluster)
        writer.write(kind)
        return writer
    }

    /// The envelope, then `body`.
    public func wrap(_ body: some Collection<UInt8>) -> [UInt8] {
        var writer = writer(capacity: body.count)
        writer.write(contentsOf: body)
        return writer.bytes
    }

    /// Reads an envelope; `reader` then stands at the body. Throws when bytes are missing or the wire version is not ours.
    public static func read(from reader: inout ByteReader) throws(MalformedInput) -> Envelope {
        let version = try reader.readByte()
        guard version == wireVersion else {
            throw MalformedInput("wire version \(version): this build speaks version \(wireVersion) only")
        }
        let cluster = try reader.readUInt16()
        return Envelope(cluster: cluster, rawKind: try reader.readByte())
    }
}

/// Which machine the body behind an envelope is for.
public enum MessageKind: UInt8, Hashable, Sendable, CaseIterable {
    case membership = 1
    case broadcast = 2
    case sync = 3
}
