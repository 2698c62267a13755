/// The frames of the admin socket: a length of four bytes, big endian, and so many bytes of JSON.
public enum AdminFrame {
    /// Bytes of JSON in one frame.
    public static let byteLimit = 100 * 1_024 * 1_024

    /// A peer announced a frame over the limit. Nothing more can be read from its connection.
    public struct TooLong: Error, Hashable, Sendable, CustomStringConvertible {
        public let length: Int
        public var description: String { "a frame of \(length) bytes is over the limit of \(AdminFrame.byteLimit)" }
    }

    /// The frame around `json`, which must be within the limit.
    public static func encode(_ json: [UInt8]) throws(TooLong) -> [UInt8] {
        guard json.count <= byteLimit else { throw TooLong(length: json.count) }
        let length = UInt32(json.count)
        return [UInt8(length >> 24), UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255)] + json
    }

    /// Cuts a stream of bytes into frames.
    public struct Decoder: Sendable {
        private var buffer: [UInt8] = []
        private var position = 0

        public init() {}

        public mutating func append(_ bytes: some Collection<UInt8>) {
            // What was taken is let go once it is the larger part, so that no byte is moved more than once on average.
            if position > buffer.count - position {
                buffer.removeFirst(position)
                position = 0
            }
            buffer.append(contentsOf: bytes)
        }

        /// Bytes that wait for the rest of their frame.
        public var pending: Int { buffer.count - position }

        /// The next whole frame's JSON; nil until more bytes come.
        public mutating func next() throws(TooLong) -> [UInt8]? {
            guard pending >= 4 else { return nil }
            let length = buffer[position..<(position + 4)].reduce(0) { $0 << 8 | Int($1) }
            guard length <= AdminFrame.byteLimit else { throw TooLong(length: length) }
            guard pending >= 4 + length else { return nil }
            defer { position += 4 + length }
            return Array(buffer[(position + 4)..<(position + 4 + length)])
        }
    }
}
