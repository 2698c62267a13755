import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: messages come out of a lane as they went in, however the stream is cut, and a length that lies costs nothing.
/// Method: the reader alone; every cut of a stream in two, and single bytes.
struct MessageReaderTests {
    private static func framed(_ messages: [[UInt8]]) -> [UInt8] {
        messages.flatMap { message in (0..<4).map { UInt8(truncatingIfNeeded: message.count >> (8 * $0)) } + message }
    }

    private static func read(_ pieces: [[UInt8]], limit: Int = 1_000) -> (messages: [MessageReader.Message], reader: MessageReader) {
        var reader = MessageReader()
        var messages: [MessageReader.Message] = []
        for piece in pieces {
            piece.withUnsafeBufferPointer { bytes in reader.read(bytes[...], limit: limit) { messages.append($0) } }
        }
        return (messages, reader)
    }

    private let messages: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 7, count: 300), [9]]

    @Test("lane: messages survive every cut of the stream")
    func cuts() {
        let bytes = Self.framed(messages)
        let expected = messages.map { MessageReader.Message.whole($0) }
        for cut in 0...bytes.count {
            #expect(Self.read([Array(bytes[..<cut]), Array(bytes[cut...])]).messages == expected, "cut at \(cut)")
        }
        #expect(Self.read(bytes.map { [$0] }).messages == expected, "byte by byte")
    }

    @Test("lane: a message over the bound is skipped without being stored, and the next one arrives")
    func skipped() {
        let bytes = Self.framed([[1], Array(repeating: 0, count: 1_001), [2]])
        for cut in 0...bytes.count {
            let (messages, reader) = Self.read([Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(messages == [.whole([1]), .refused(length: 1_001), .whole([2])], "cut at \(cut)")
            #expect(reader.assembledBytes == 0)
        }
    }

    @Test("lane: a message that is not whole counts with the length that it announced")
    func unfinished() {
        let (messages, reader) = Self.read([[100, 0, 0, 0, 1, 2]])
        #expect(messages.isEmpty)
        #expect(reader.assembledBytes == 100)
    }

    @Test("lane: acknowledgements count messages by their ends")
    func acknowledged() {
        var lane = MessageLane()
        for end in [10, 10, 25] as [UInt64] { lane.append(endingAt: end) }
        #expect(lane.acknowledge(to: 9) == 0)
        #expect(lane.acknowledge(to: 10) == 2)
        #expect(lane.acknowledge(to: 24) == 0)
        #expect(lane.count == 1)
        #expect(lane.acknowledge(to: 25) == 1)
    }
}
