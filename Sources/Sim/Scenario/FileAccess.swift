#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Reads and writes whole files with the C library: the few that scenarios and reports are.
enum FileAccess {
    /// Scenario and schema files larger than this are refused.
    static let sizeLimit = 16 * 1_024 * 1_024

    struct Failure: Error {
        let reason: String
    }

    /// The text of a file.
    static func read(_ path: String) throws(Failure) -> String {
        guard let text = String(validating: try readBytes(path), as: UTF8.self) else { throw Failure(reason: "it is not UTF-8") }
        return text
    }

    /// The bytes of a file.
    static func readBytes(_ path: String) throws(Failure) -> [UInt8] {
        guard let file = fopen(path, "rb") else { throw Failure(reason: lastError) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1_024)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[..<count]
            if bytes.count > sizeLimit { throw Failure(reason: "it is larger than \(sizeLimit) bytes") }
        }
        if ferror(file) != 0 { throw Failure(reason: lastError) }
        return bytes
    }

    static func exists(_ path: String) -> Bool { access(path, R_OK) == 0 }

    /// Replaces the content of a file.
    static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
        guard let file = fopen(path, "wb") else { throw Failure(reason: lastError) }
        let count = fwrite(bytes, 1, bytes.count, file)
        guard fclose(file) == 0, count == bytes.count else { throw Failure(reason: lastError) }
    }

    static func isDirectory(_ path: String) -> Bool {
        guard let directory = opendir(path) else { return false }
        closedir(directory)
        return true
    }

    /// What is in a directory, in ascending order; hidden files are left out.
    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes a directory and those above it. One that exists is fine.
    static func makeDirectory(_ path: String) throws(Failure) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += (prefix.isEmpty || prefix.hasSuffix("/") ? "" : "/") + part
            if mkdir(prefix, 0o777) != 0, errno != EEXIST { throw Failure(reason: "\(prefix): \(lastError)") }
        }
    }

    /// `path` as seen from the directory of `file`, unless it is absolute.
    static func resolve(_ path: String, besides file: String) -> String {
        guard !path.hasPrefix("/"), let slash = file.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(file[...slash]) + path
    }

    fileprivate static var lastError: String { String(cString: strerror(errno)) }
}

/// Reads a file of any size from its beginning, piece by piece.
final class FilePieces {
    private static let pieceBytes = 1_024 * 1_024

    private let file: UnsafeMutablePointer<FILE>

    init(_ path: String) throws(FileAccess.Failure) {
        guard let file = fopen(path, "rb") else { throw FileAccess.Failure(reason: FileAccess.lastError) }
        self.file = file
    }

    deinit { fclose(file) }

    /// The next bytes; nil at the end of the file.
    func next() throws(FileAccess.Failure) -> [UInt8]? {
        let piece = [UInt8](unsafeUninitializedCapacity: Self.pieceBytes) { buffer, count in
            count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
        guard ferror(file) == 0 else { throw FileAccess.Failure(reason: FileAccess.lastError) }
        return piece.isEmpty ? nil : piece
    }
}
