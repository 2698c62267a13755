import Glibc

/// A scratch directory, removed at the end.
struct Directory {
    let path: String

    init(below parent: String) {
        var template = Array((parent + "/patina-benchmark-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("no directory can be made below \(parent)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func file(_ name: String) -> String { "\(path)/\(name).db" }

    /// Deletes all files; their databases must be closed.
    func empty() {
        for name in ["plain", "patina", "origin", "other"] {
            for suffix in ["", "-wal", "-shm", ".lock", ".reservation"] { unlink(file(name) + suffix) }
        }
    }

    func remove() {
        empty()
        rmdir(path)
    }

    static func bytes(_ file: String) -> Int {
        var status = stat()
        guard stat(file, &status) == 0 else { return 0 }
        return Int(status.st_size)
    }
}
