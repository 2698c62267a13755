/// A hash of packed keys. Its low 32 bits are stored in clock records, so it must never change.
///
/// Eight bytes at a time: exclusive or, multiply by an odd constant, fold the high half down; the length goes in first.
func keyHash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
    var offset = 0
    while offset + 8 <= bytes.count {
        hash = mix(hash ^ UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
        offset += 8
    }
    var tail: UInt64 = 0
    var shift: UInt64 = 0
    while offset < bytes.count {
        tail |= UInt64(bytes[offset]) << shift
        shift += 8
        offset += 1
    }
    return mix(hash ^ tail)
}

@inline(__always)
private func mix(_ word: UInt64) -> UInt64 {
    let product = word &* 0xD6E8_FEB8_6659_FD93
    return (product ^ product >> 32) &* 0xD6E8_FEB8_6659_FD93
}
