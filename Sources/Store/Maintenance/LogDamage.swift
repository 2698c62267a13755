import CSQLite
import PatinaProtocol

/// A log that ends before what was moved from it into the database: read together, the two are of different times.
struct LogDamage {
    /// Where SQLite takes the log for ended.
    var frames: UInt32
    var mark: LogMark

    /// Looks for it on a connection that has tried to read something. Costs a few reads of the log, and only after a crash: after a clean
    /// end there is no log.
    ///
    /// A log that has been exchanged, by whoever copied files, is none that the mark speaks of; neither is one that began anew. So it takes
    /// frames of the very log of the mark, behind its end.
    static func find(_ connection: Connection, _ mark: LogMark?) -> LogDamage? {
        guard let mark, let index = LogIndex(connection), let log = connection.logFile else { return nil }
        let frames = index.frames
        if frames > 0 {
            guard index.salts == mark.salts, frames < mark.frames else { return nil }
        } else if let salts = LogHeader.readSalts(log), salts != mark.salts {
            return nil
        }
        guard let pageBytes = LogHeader.readPageBytes(log, connection.databaseFile),
            LogHeader.hasFrame(log, of: mark.salts, in: Int64(frames)..<Int64(mark.frames), pageBytes: pageBytes)
        else { return nil }
        return LogDamage(frames: frames, mark: mark)
    }

    /// Mends what can be mended before `location` is used: where everything up to the mark is in the database, the log is not needed, and
    /// what it held of later transactions is lost. Where a checkpoint was under way, database and log are good for nothing.
    ///
    /// - Returns: what was found, and a connection that must stay open until the store's own has begun to read: it holds what the
    ///   connections share. Nil when there is nothing to mend.
    static func mend(_ location: StoreLocation, _ reservation: ReservationFile?) throws(StoreError) -> (LogDamage, Connection)? {
        guard let mark = try reservation?.readMark() else { return nil }
        let probe = try Connection(location, readOnly: false, userStatementLimit: 0)
        do throws(StoreError) {
            // Else closing it would move what there is of the log.
            _ = patina_sqlite3_db_config_flag(probe.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            sqlite3_busy_timeout(probe.handle, 5_000)
            // Reads the log; the database beside it may be beyond reading.
            var problem: StoreError?
            do throws(StoreError) { _ = try probe.integer("SELECT count(*) FROM sqlite_schema") } catch { problem = error }
            guard let damage = find(probe, mark) else {
                if let problem { throw problem }
                probe.close()
                return nil
            }
            guard mark.isWhole else { throw .corrupt(message: "\(probe.name): \(damage.description)") }
            LogIndex(probe)?.setMoved()
            return (damage, probe)
        } catch {
            probe.close()
            throw error
        }
    }

    /// What it is and what to do.
    var description: String {
        let what =
            "the write-ahead log is damaged soon behind frame \(frames), and what it says up to frame \(mark.frames) may be in the database"
        return mark.isWhole
            ? "\(what); opening the database leaves the log out, with what was written last"
            : "\(what), but not all: restore the database from a backup, or move it away and let the node join with an empty one"
    }
}

/// What a write-ahead log says in its headers ("The WAL File Format" of https://www.sqlite.org/fileformat2.html).
private enum LogHeader {
    private static let headerBytes = 32
    private static let frameHeaderBytes: Int64 = 24
    /// Its last bit tells in which byte order checksums were computed.
    private static let magic: UInt32 = 0x377F_0682

    /// The salts in the header; nil when it is damaged.
    static func readSalts(_ log: UnsafeMutablePointer<sqlite3_file>) -> UInt64? {
        guard let header = read(log, headerBytes, at: 0) else { return nil }
        func word(_ index: Int, bigEndian: Bool = true) -> UInt32 {
            let value = header.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self) }
            return bigEndian ? UInt32(bigEndian: value) : UInt32(littleEndian: value)
        }
        guard word(0) & ~1 == magic else { return nil }
        let isBigEndian = word(0) & 1 == 1
        var sum: (UInt32, UInt32) = (0, 0)
        for index in stride(from: 0, to: 6, by: 2) {
            sum.0 &+= word(index, bigEndian: isBigEndian) &+ sum.1
            sum.1 &+= word(index + 1, bigEndian: isBigEndian) &+ sum.0
        }
        guard word(6) == sum.0, word(7) == sum.1 else { return nil }
        return header.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self) }
    }

    /// Bytes of a page, as the log says, or the database if the log's header is damaged; nil when neither does.
    static func readPageBytes(
        _ log: UnsafeMutablePointer<sqlite3_file>, _ database: UnsafeMutablePointer<sqlite3_file>?
    ) -> Int64? {
        let fromLog = readSalts(log) == nil ? nil : read(log, 4, at: 8).map { $0.reduce(Int64(0)) { $0 << 8 | Int64($1) } }
        // There 1 stands for 65,536.
        let fromDatabase = database.flatMap { read($0, 2, at: 16) }.map { $0 == [0, 1] ? 65_536 : Int64($0[0]) << 8 | Int64($0[1]) }
        return [fromLog, fromDatabase].compactMap(\.self).first { (512...65_536).contains($0) }
    }

    /// True when one of the frames is of the log with these salts. Usually the first that is looked at, or the second.
    static func hasFrame(
        _ log: UnsafeMutablePointer<sqlite3_file>, of salts: UInt64, in frames: Range<Int64>, pageBytes: Int64
    ) -> Bool {
        frames.contains { frame in
            let offset = Int64(headerBytes) + frame * (frameHeaderBytes + pageBytes)
            guard let header = read(log, Int(frameHeaderBytes), at: offset) else { return false }
            return header.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self) } == salts
        }
    }

    private static func read(_ log: UnsafeMutablePointer<sqlite3_file>, _ count: Int, at offset: Int64) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let code = bytes.withUnsafeMutableBytes { log.pointee.pMethods.pointee.xRead(log, $0.baseAddress, Int32(count), offset) }
        return code == SQLITE_OK ? bytes : nil
    }
}
