import PatinaProtocol

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A new file in a directory of recordings, for one start of a node.
///
/// Unchecked: a file belongs to whoever makes it, then to the thread that writes it, and to nobody else.
final class EventLogFile: @unchecked Sendable {
    let path: String
    private var descriptor: Int32

    /// Makes the directory when it is missing, and in it the file with the number behind the highest.
    ///
    /// - Throws: `RuntimeError.recording` when the directory cannot be made or written.
    init(in directory: String) throws(RuntimeError) {
        func failure() -> RuntimeError { .recording(directory: directory, reason: String(cString: strerror(errno))) }
        var prefix = directory.hasPrefix("/") ? "/" : ""
        for part in directory.split(separator: "/") {
            prefix += (prefix.isEmpty || prefix.hasSuffix("/") ? "" : "/") + part
            if mkdir(prefix, 0o700) != 0, errno != EEXIST { throw failure() }
        }
        guard var number = Self.highestNumber(in: directory) else { throw failure() }
        while true {
            number += 1
            let path = "\(directory)/\(EventLog.fileName(number))"
            // What a log holds is as secret as the database.
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            if descriptor >= 0 {
                self.path = path
                self.descriptor = descriptor
                return
            }
            // Another process may have taken the number just now.
            guard errno == EEXIST else { throw failure() }
        }
    }

    /// A file that is there: for tests, of devices and pipes that behave like bad disks.
    init(existing path: String) throws(RuntimeError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .recording(directory: path, reason: String(cString: strerror(errno))) }
    }

    deinit { close() }

    /// The highest number of a file in the directory; 0 when there is none, nil when it cannot be read.
    private static func highestNumber(in directory: String) -> Int? {
        guard let handle = opendir(directory) else { return nil }
        defer { closedir(handle) }
        var highest = 0
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if let number = EventLog.number(ofFile: name) { highest = max(highest, number) }
        }
        return highest
    }

    /// Writes all of it. Returns what went wrong.
    func write(_ bytes: [UInt8]) -> String? {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                #if canImport(Darwin)
                    Darwin.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                #elseif canImport(Musl)
                    Musl.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                #else
                    Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return String(cString: strerror(errno)) }
            written += count
        }
        return nil
    }

    func close() {
        guard descriptor >= 0 else { return }
        #if canImport(Darwin)
            _ = Darwin.close(descriptor)
        #elseif canImport(Musl)
            _ = Musl.close(descriptor)
        #else
            _ = Glibc.close(descriptor)
        #endif
        descriptor = -1
    }
}
