import PatinaProtocol

/// The records of an event log, from memory or from a file that is read piece by piece.
struct LoggedRecords {
    enum Source {
        case bytes([UInt8])
        case file(FilePieces)
        case exhausted
    }

    private var source: Source
    private var reader = EventLogReader()

    init(_ source: Source) { self.source = source }

    /// Bytes that no whole record is made of; at the end, what a kill has cut.
    var unread: Int { reader.unread }
    /// Where the next record begins.
    var consumed: Int { reader.consumed }

    /// The next record; nil at the end.
    mutating func next() throws(NodeReplayError) -> EventLogRecord? {
        while true {
            do throws(EventLogError) {
                if let record = try reader.next() { return record }
            } catch {
                throw .log(error)
            }
            switch source {
            case .bytes(let bytes):
                reader.feed(bytes)
                source = .exhausted
            case .file(let file):
                do throws(FileAccess.Failure) {
                    guard let piece = try file.next() else {
                        source = .exhausted
                        return nil
                    }
                    reader.feed(piece)
                } catch {
                    throw .unreadable(error.reason)
                }
            case .exhausted: return nil
            }
        }
    }
}
