import Testing

@testable import PatinaProtocol

/// `ByteWriter` and `ByteReader`.
@Suite struct BytesTests {
    /// The bytes that reach a writer.
    private func written(_ body: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        body(&writer)
        return writer.bytes
    }

    @Test("bytes: the primitives have the documented form")
    func forms() {
        #expect(written { $0.write(7 as UInt8) } == [7])
        #expect(written { $0.write(0x0102 as UInt16) } == [2, 1])
        #expect(written { $0.write(0x0102_0304 as UInt32) } == [4, 3, 2, 1])
        #expect(written { $0.write(0x0102_0304_0506_0708 as UInt64) } == [8, 7, 6, 5, 4, 3, 2, 1])
        #expect(written { $0.writeVarint(300) } == [0xAC, 0x02])
        #expect(written { $0.writeVarint(.max) } == Array(repeating: 0xFF, count: 9) + [1])
        #expect(written { $0.writeSignedVarint(-1) } == [1])
        #expect(written { $0.writeSignedVarint(1) } == [2])
        #expect(written { $0.writeString("é") } == [2, 0xC3, 0xA9])
        #expect(written { $0.write(Address(ipv4: 0x0A00_0001, port: 0x0FA1)) } == [4, 10, 0, 0, 1, 0x0F, 0xA1])
        #expect(written { $0.write(Address(high: 1, low: 2, port: 3)) } == [6] + ActorID(high: 1, low: 2).bytes + [0, 3])
        #expect(written { $0.writeRecord { $0.write(5 as UInt16) } } == [2, 5, 0])
    }

    @Test("bytes: varints of every length come back, signed and unsigned")
    func varints() throws {
        var random = Random(seed: 1)
        for shift in 0..<64 {
            for value in [UInt64(1) << shift, UInt64(1) << shift &- 1, UInt64.max >> shift, random.next() >> shift] {
                var reader = ByteReader(written { $0.writeVarint(value) })
                #expect(try reader.readVarint() == value)
                #expect(reader.isAtEnd)
                let signed = Int64(bitPattern: value)
                reader = ByteReader(written { $0.writeSignedVarint(signed) })
                #expect(try reader.readSignedVarint() == signed)
            }
        }
    }

    @Test("bytes: varints of more than 64 bits are refused")
    func wideVarints() {
        let ones = [UInt8](repeating: 0xFF, count: 40)
        let zeros = [UInt8](repeating: 0x80, count: 10)
        for bytes in [ones.prefix(9) + [2], zeros + [1], ones] {
            var reader = ByteReader(bytes)
            #expect(throws: MalformedInput.self) { try reader.readVarint() }
        }
    }

    /// One of everything, and how to read it back.
    private func everything(_ writer: inout ByteWriter) {
        writer.write(7 as UInt8)
        writer.write(300 as UInt16)
        writer.write(70_000 as UInt32)
        writer.write(UInt64.max)
        writer.writeVarint(1 << 40)
        writer.writeSignedVarint(-123_456)
        writer.writeBytes([1, 2, 3])
        writer.writeString("grüße")
        writer.write(ActorID(high: 5, low: 6))
        writer.write(Fingerprint(high: 7, low: 8))
        writer.write(Address(ipv4: 9, port: 10))
        writer.write(Address(high: 11, low: 12, port: 13))
        writer.writeRecord { $0.writeVarint(14) }
        writer.writeVarint(9)
    }

    private func readEverything(_ reader: inout ByteReader) throws(MalformedInput) -> Bool {
        var isRight = try reader.readByte() == 7
        isRight = try reader.readUInt16() == 300 && isRight
        isRight = try reader.readUInt32() == 70_000 && isRight
        isRight = try reader.readUInt64() == .max && isRight
        isRight = try reader.readVarint() == 1 << 40 && isRight
        isRight = try reader.readSignedVarint() == -123_456 && isRight
        isRight = try reader.readBytes() == [1, 2, 3] && isRight
        isRight = try reader.readString() == "grüße" && isRight
        isRight = try reader.readActor() == ActorID(high: 5, low: 6) && isRight
        isRight = try reader.readFingerprint() == Fingerprint(high: 7, low: 8) && isRight
        isRight = try reader.readAddress() == Address(ipv4: 9, port: 10) && isRight
        isRight = try reader.readAddress() == Address(high: 11, low: 12, port: 13) && isRight
        var record = try reader.readRecord()
        isRight = try record.readVarint() == 14 && isRight
        return try reader.readCount(limit: 9, of: "a test") == 9 && isRight
    }

    @Test("bytes: what was written is read, from the start and from the middle of a buffer")
    func roundTrip() throws {
        let bytes = written(everything)
        var reader = ByteReader(bytes)
        #expect(try readEverything(&reader))
        #expect(reader.isAtEnd)
        reader = ByteReader(([9, 9] + bytes + [9])[2...])
        #expect(try readEverything(&reader))
        #expect(reader.remaining == 1)
        #expect(reader.rest == [9])
    }

    @Test("bytes: cut off anywhere, they are refused")
    func truncation() {
        let bytes = written(everything)
        for length in 0..<bytes.count {
            var reader = ByteReader(bytes[..<length])
            #expect(throws: MalformedInput.self) { try readEverything(&reader) }
        }
    }

    @Test("bytes: mutations never trap, and never read past the end")
    func fuzz() {
        var random = Random(seed: 2)
        let original = written(everything)
        var refused = 0
        for _ in 0..<5_000 {
            var bytes = original
            for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            var reader = ByteReader(bytes)
            do { _ = try readEverything(&reader) } catch {
                refused += 1
                #expect(!error.description.isEmpty)
            }
            #expect((0...bytes.count).contains(reader.remaining))
        }
        #expect(refused > 500)
    }

    @Test("bytes: counts over their limit, lengths over the end, bad UTF-8 and unknown families are refused")
    func refused() {
        func refuses(_ bytes: [UInt8], _ read: (inout ByteReader) throws -> Void) -> Bool {
            var reader = ByteReader(bytes)
            do { try read(&reader) } catch { return error is MalformedInput }
            return false
        }
        #expect(refuses([10]) { _ = try $0.readCount(limit: 9, of: "a test") })
        #expect(refuses([5, 1, 2, 3, 4]) { _ = try $0.readBytes() })
        #expect(refuses(Array(repeating: 0xFF, count: 9) + [1]) { _ = try $0.readBytes() })
        #expect(refuses([5, 1]) { _ = try $0.readRecord() })
        #expect(refuses([2, 0xC3, 0x28]) { _ = try $0.readString() })
        #expect(refuses([5, 1, 2, 3, 4, 5, 6]) { _ = try $0.readAddress() })
        #expect(refuses([1]) { _ = try $0.read(count: -1) })
        #expect(!refuses([9]) { _ = try $0.readCount(limit: 9, of: "a test") })
    }

    @Test("bytes: a record's reader may leave what it does not know")
    func record() throws {
        var reader = ByteReader(
            written {
                $0.writeRecord {
                    $0.writeVarint(1)
                    $0.writeString("a later field")
                }
                $0.write(2 as UInt8)
            })
        var record = try reader.readRecord()
        #expect(try record.readVarint() == 1)
        #expect(try reader.readByte() == 2)
        #expect(reader.isAtEnd)
    }
}
