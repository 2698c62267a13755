import NIOCore
import NIOPosix
import PatinaStore
import Synchronization

/// Snapshots of the database, for whoever asks over the admin socket.
///
/// The answer is one frame of JSON, `{"Json":{"snapshot_bytes":N}}`, then frames of at most `SnapshotSource.pieceBytes` raw bytes, N in
/// all: a `SnapshotHeader` and the content; then `"Success"`. One at a time, because each is a copy of the database on the disk.
final class AdminSnapshots: Sendable {
    private let database: String
    private let isTaken = Mutex(false)

    init(database: String) { self.database = database }

    /// - Parameter send: called with one frame's content after the other, and waited for.
    /// - Returns: how the answer ends.
    func answer(_ send: ([UInt8]) async throws -> Void) async throws -> AdminResponse {
        let isFree = isTaken.withLock { isTaken in
            defer { isTaken = true }
            return !isTaken
        }
        guard isFree else { return .failure("another snapshot is being taken; try again later") }
        defer { isTaken.withLock { $0 = false } }
        let feed: SnapshotFeed
        do {
            // Copying blocks, and takes as long as the disk needs.
            feed = try await NIOThreadPool.singleton.runIfActive { [database] in try SnapshotFeed(database: database) }
        } catch let error as BackupError {
            return .failure(error.description)
        }
        let total = feed.header.byteCount + Int64(SnapshotHeader.encodedBytes)
        try await send(AdminResponse.json(.members(("snapshot_bytes", .integer(total)))).json())
        try await send(feed.header.encoded)
        while let piece = try await NIOThreadPool.singleton.runIfActive({ try feed.next() }) { try await send(piece) }
        return .success
    }
}

/// A snapshot that is read piece by piece, on whatever thread of a pool is free.
///
/// Unchecked because a `SnapshotSource` is for one thread at a time: the one task that has it awaits each piece before it asks for more.
private final class SnapshotFeed: @unchecked Sendable {
    private let source: SnapshotSource
    let header: SnapshotHeader

    init(database: String) throws(BackupError) {
        source = try SnapshotSource(of: .file(database), temporaryFile: database + ".snapshot")
        header = source.header
    }

    func next() throws(BackupError) -> [UInt8]? { try source.next(atMost: SnapshotSource.pieceBytes) }
}

extension AdminClient {
    /// Receives a snapshot of the agent's database. It may take as long as the agent's disk and the reader need.
    ///
    /// - Parameter take: called with the bytes of the stream, `SnapshotHeader` and content, in pieces of any size. What it throws ends the
    ///   command.
    /// - Throws: `Failure`, above all when not all bytes came, and what `take` throws.
    public func receiveSnapshot(_ take: @Sendable ([UInt8]) throws -> Void) async throws {
        let connection = try await connect()
        try await connection.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(bytes: AdminFrame.encode(AdminCommand.snapshot.json)))
            var decoder = AdminFrame.Decoder()
            var left: Int64?
            for try await buffer in inbound {
                decoder.append(buffer.readableBytesView)
                while let frame = try decoder.next() {
                    if let bytes = left, bytes > 0 {
                        guard Int64(frame.count) <= bytes else { throw Failure.broken("more came than the agent had said") }
                        left = bytes - Int64(frame.count)
                        try take(frame)
                        continue
                    }
                    switch try AdminResponse(json: frame) {
                    case .success where left == 0: return
                    case .success: throw Failure.broken("the answer has no snapshot")
                    case .failure(let message): throw Failure.refused(message)
                    case .json(let document): left = document["snapshot_bytes"]?.integer
                    case .log: break
                    }
                }
            }
            throw Failure.broken("the connection was closed before all of the snapshot had come")
        }
    }
}
