import Glibc
import PatinaProtocol

/// What stands before the bytes of a snapshot in a stream or a file: how many there are, and their fingerprint. With it, whoever reads the
/// stream knows whether all of it has come, and unharmed.
public struct SnapshotHeader: Hashable, Sendable {
    public var byteCount: Int64
    public var fingerprint: Fingerprint

    /// Bytes of the encoded header.
    public static let encodedBytes = 48
    /// "PATINASS", as bytes in this order.
    private static let magic: UInt64 = 0x5353_414E_4954_4150
    private static let format: UInt64 = 1

    public init(byteCount: Int64, fingerprint: Fingerprint) {
        self.byteCount = byteCount
        self.fingerprint = fingerprint
    }

    /// Magic, format, byte count, fingerprint, and the sum of these; little endian.
    public var encoded: [UInt8] {
        let words = [Self.magic, Self.format, UInt64(byteCount), fingerprint.high, fingerprint.low]
        return (words + [Self.sum(words)]).flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    /// Nil when the bytes are no header, or one that was damaged or is of another format.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.encodedBytes else { return nil }
        let words = bytes.withUnsafeBytes { buffer in
            (0..<6).map { UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        }
        guard words[0] == Self.magic, words[1] == Self.format, words[5] == Self.sum(Array(words[..<5])), words[2] <= UInt64(Int64.max)
        else {
            return nil
        }
        self.init(byteCount: Int64(words[2]), fingerprint: Fingerprint(high: words[3], low: words[4]))
    }

    private static func sum(_ words: [UInt64]) -> UInt64 {
        var hasher = Fingerprint.Hasher(seed: magic)
        for word in words { hasher.combine(word) }
        return hasher.finish().low
    }

    /// True when a file begins as a snapshot's stream does, and not as a database.
    public static func begins(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var word: UInt64 = 0
        return withUnsafeMutableBytes(of: &word) { read(descriptor, $0.baseAddress, 8) } == 8 && UInt64(littleEndian: word) == magic
    }
}

extension SnapshotSource {
    /// What a stream of this snapshot begins with.
    public var header: SnapshotHeader { SnapshotHeader(byteCount: byteCount, fingerprint: fingerprint) }

    /// Bytes of a snapshot that are in memory at once.
    public static var pieceBytes: Int { 256 << 10 }
}

extension SnapshotSink {
    /// Reads a whole stream into a file: header, content, end. Takes `SnapshotSource.pieceBytes` of memory.
    ///
    /// - Parameters:
    ///   - descriptor: a file or a pipe, read to its end.
    ///   - path: a file to make, removed with the sink.
    /// - Throws: `BackupError.damaged` when the stream is cut short, too long, or not what its source made.
    public static func reading(_ descriptor: Int32, file path: String) throws(BackupError) -> SnapshotSink {
        let head = try read(descriptor, upTo: SnapshotHeader.encodedBytes)
        guard let header = SnapshotHeader(head) else {
            throw .damaged(reason: head.count < SnapshotHeader.encodedBytes ? "only \(head.count) bytes came" : "it does not begin as one")
        }
        let sink = try SnapshotSink(byteCount: header.byteCount, fingerprint: header.fingerprint, file: path)
        while true {
            let piece = try read(descriptor, upTo: SnapshotSource.pieceBytes)
            if piece.isEmpty { break }
            try sink.append(piece)
        }
        try sink.checkWhole()
        return sink
    }

    /// Fewer than `count` bytes at the end only.
    private static func read(_ descriptor: Int32, upTo count: Int) throws(BackupError) -> [UInt8] {
        var problem: BackupError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = Glibc.read(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled)
                if got < 0, errno == EINTR { continue }
                if got < 0 { problem = .damaged(reason: "it cannot be read: \(String(cString: strerror(errno)))") }
                if got <= 0 { return }
                filled += got
            }
        }
        if let problem { throw problem }
        return bytes
    }
}
