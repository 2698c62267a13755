import PatinaProtocol

/// What a disk holds of one file: what is safe, and what was written since and may be lost with the power.
struct StoredFile {
    /// The content at the last sync.
    private(set) var durable: [UInt8] = []
    /// What changed since, in order.
    private(set) var pending: [Change] = []
    /// The name in the directory is safe. It becomes so with the first sync, as on ext4.
    private(set) var isNamed = false

    enum Change {
        case bytes([UInt8], at: Int)
        case truncation(Int)
    }

    /// What a power loss leaves of the changes since the last sync.
    enum Loss: Hashable, Sendable {
        /// None of them.
        case everything
        /// All of them: the cache had been written out by itself.
        case nothing
        /// Each sector of each write stays with this chance, in parts per million, and truncations likewise: sectors are written in any
        /// order, and a write that spans several is torn.
        case sectors(kept: UInt32)

        /// One of them at random.
        static func draw(using random: inout Random) -> Loss {
            switch random.below(6) {
            case 0: .everything
            case 1: .nothing
            case 2: .sectors(kept: 100_000)
            case 3: .sectors(kept: 900_000)
            default: .sectors(kept: 500_000)
            }
        }
    }

    /// The unit that a disk writes whole or not at all. What lies beside a write in its sector is never harmed, as SQLite assumes by
    /// default (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`).
    static let sectorBytes = 512

    init() {}

    /// A file whose content is safe.
    init(durable: [UInt8]) {
        self.durable = durable
        isNamed = true
    }

    mutating func write(_ bytes: [UInt8], at offset: Int) { pending.append(.bytes(bytes, at: offset)) }
    mutating func truncate(to size: Int) { pending.append(.truncation(size)) }

    mutating func sync() {
        isNamed = true
        for change in pending { Self.apply(change, to: &durable) }
        pending.removeAll(keepingCapacity: true)
    }

    /// Turns one bit over in what is safe.
    mutating func flip(bit: Int, of byte: Int) {
        if byte < durable.count { durable[byte] ^= 1 << UInt8(bit) }
    }

    /// The content after a power loss; nil when the file is gone.
    func after(_ loss: Loss, using random: inout Random) -> [UInt8]? {
        switch loss {
        case .everything: return isNamed ? durable : nil
        case .nothing: break
        case .sectors(let kept): if !isNamed, !random.chance(partsPerMillion: kept) { return nil }
        }
        var content = durable
        for change in pending {
            switch (loss, change) {
            case (.everything, _): break
            case (.nothing, _): Self.apply(change, to: &content)
            case (.sectors(let kept), .truncation): if random.chance(partsPerMillion: kept) { Self.apply(change, to: &content) }
            case (.sectors(let kept), .bytes(let bytes, let offset)):
                var start = 0
                while start < bytes.count {
                    let end = min(bytes.count, start + Self.sectorBytes - (offset + start) % Self.sectorBytes)
                    if random.chance(partsPerMillion: kept) {
                        Self.apply(.bytes(Array(bytes[start..<end]), at: offset + start), to: &content)
                    }
                    start = end
                }
            }
        }
        return content
    }

    static func apply(_ change: Change, to content: inout [UInt8]) {
        switch change {
        case .truncation(let size): if size < content.count { content.removeSubrange(size...) }
        case .bytes(let bytes, let offset):
            let end = offset + bytes.count
            if end > content.count { content.append(contentsOf: repeatElement(0, count: end - content.count)) }
            content.withUnsafeMutableBytes { target in
                bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[offset..<end]).copyMemory(from: $0) }
            }
        }
    }
}

/// What happened on a disk, to be played again: see `DiskRecording`.
enum DiskOperation {
    case create(String)
    case write(String, [UInt8], at: Int)
    case truncate(String, Int)
    case sync(String)
    /// `durable`: the directory was synced with it.
    case remove(String, durable: Bool)
}
