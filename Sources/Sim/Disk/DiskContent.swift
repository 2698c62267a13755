import OrderedCollections
import PatinaProtocol

/// All files of a disk as they are stored, and the names whose removal is not safe yet.
struct DiskContent {
    /// In the order of creation.
    private(set) var files: OrderedDictionary<String, StoredFile> = [:]
    private var removed: OrderedDictionary<String, StoredFile> = [:]

    init() {}

    /// Files whose content is safe, as after a power loss.
    init(_ contents: OrderedDictionary<String, [UInt8]>) { files = contents.mapValues { StoredFile(durable: $0) } }

    mutating func apply(_ operation: DiskOperation) {
        switch operation {
        case .create(let path): files[path] = StoredFile()
        case .write(let path, let bytes, let offset): files[path]?.write(bytes, at: offset)
        case .truncate(let path, let size): files[path]?.truncate(to: size)
        case .sync(let path):
            files[path]?.sync()
            // File systems with a journal, ext4 and XFS among them, write changes of directories in order: what is synced later takes
            // them along. SQLite relies on it: it removes a rollback journal without a sync of the directory before it turns to a log.
            removed.removeAll()
        case .remove(let path, let durable):
            guard let file = files.removeValue(forKey: path) else { return }
            if durable {
                // The directory is synced whole.
                removed.removeAll()
            } else if file.isNamed {
                removed[path] = file
            }
        }
    }

    mutating func flip(bit: Int, of byte: Int, in path: String) { files[path]?.flip(bit: bit, of: byte) }

    /// What is there after a power loss. A removed file may be back.
    func after(_ loss: StoredFile.Loss, using random: inout Random) -> OrderedDictionary<String, [UInt8]> {
        var left: OrderedDictionary<String, [UInt8]> = [:]
        for (path, file) in files {
            if let content = file.after(loss, using: &random) { left[path] = content }
        }
        for (path, file) in removed where left[path] == nil {
            let isBack =
                switch loss {
                case .everything: true
                case .nothing: false
                case .sectors(let kept): !random.chance(partsPerMillion: kept)
                }
            if isBack, let content = file.after(loss, using: &random) { left[path] = content }
        }
        return left
    }
}
