/// Finds rows by hash: open addressing with linear probing, because a dictionary costs more than the rest of a small row.
struct RowIndex {
    private var slots: [Int32] = []
    private var hashes: [UInt64] = []
    private var count = 0

    mutating func reserve(_ rows: Int) {
        guard rows > 1, (rows + 1) * 2 > slots.count else { return }
        rebuild(capacity: rows)
    }

    func find(_ hash: UInt64, _ isMatch: (Int) -> Bool) -> Int? {
        guard !slots.isEmpty else { return nil }
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            if hashes[slot] == hash, isMatch(Int(slots[slot])) { return Int(slots[slot]) }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    mutating func insert(_ hash: UInt64, _ row: Int) {
        if (count + 1) * 2 > slots.count { rebuild(capacity: count + 1) }
        place(hash, Int32(row))
        count += 1
    }

    private mutating func place(_ hash: UInt64, _ row: Int32) {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = row
        hashes[slot] = hash
    }

    private mutating func rebuild(capacity: Int) {
        var size = 8
        while size < capacity * 2 + 2 { size *= 2 }
        let (oldSlots, oldHashes) = (slots, hashes)
        slots = Array(repeating: -1, count: size)
        hashes = Array(repeating: 0, count: size)
        for (slot, row) in oldSlots.enumerated() where row >= 0 { place(oldHashes[slot], row) }
    }
}
