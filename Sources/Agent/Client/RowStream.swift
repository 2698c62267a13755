import AsyncHTTPClient
import NIOCore
import PatinaProtocol

/// The answer to a query as it comes: the columns at once, the rows one after another. May be iterated once.
public struct RowStream: AsyncSequence {
    public typealias Element = [Value]

    public let columns: [String]
    private let lines: Lines

    init(_ body: HTTPClientResponse.Body) async throws(APIClient.Failure) {
        var lines = Lines(body)
        guard let line = try await lines.next(), case .columns(let names) = try Line(line) else {
            throw .malformed("the first line of a query's answer is not its columns")
        }
        columns = names
        self.lines = lines
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(lines: lines) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var lines: Lines
        /// The agent's account of how long the query took; nil until the last row was read.
        public private(set) var seconds: Double?

        fileprivate init(lines: Lines) { self.lines = lines }

        /// The next row; nil after the last. Throws `APIClient.Failure`, also when the stream ends without its last line.
        public mutating func next() async throws -> [Value]? {
            guard seconds == nil else { return nil }
            guard let line = try await lines.next() else { throw APIClient.Failure.malformed("the answer ends before the last row") }
            switch try Line(line) {
            case .row(let values): return values
            case .failure(let message): throw APIClient.Failure.interrupted(message)
            case .columns: throw APIClient.Failure.malformed("the columns come twice")
            case .end(let seconds):
                self.seconds = seconds
                return nil
            }
        }
    }

    /// Cuts the body at line feeds.
    struct Lines {
        private var parts: HTTPClientResponse.Body.AsyncIterator
        private var buffer = ByteBuffer()
        /// Bytes of the buffer that hold no line feed, as far as was looked.
        private var searched = 0

        init(_ body: HTTPClientResponse.Body) { parts = body.makeAsyncIterator() }

        mutating func next() async throws(APIClient.Failure) -> [UInt8]? {
            while true {
                let view = buffer.readableBytesView
                if let feed = view.dropFirst(searched).firstIndex(of: UInt8(ascii: "\n")) {
                    let line = Array(view[..<feed])
                    buffer.moveReaderIndex(forwardBy: line.count + 1)
                    searched = 0
                    return line
                }
                searched = view.count
                guard searched <= APIClient.answerBytes else { throw .malformed("a line of more than \(APIClient.answerBytes) bytes") }
                do {
                    guard var part = try await parts.next() else { return nil }
                    // Once for each part of the body, not for each line: moving what is left costs its length.
                    buffer.discardReadBytes()
                    buffer.writeBuffer(&part)
                } catch {
                    throw .malformed("the answer was cut off: \(error)")
                }
            }
        }
    }

    /// One line of the stream.
    enum Line: Hashable, Sendable {
        case columns([String])
        case row([Value])
        case end(seconds: Double)
        case failure(String)

        init(_ bytes: [UInt8]) throws(APIClient.Failure) {
            do throws(JSONError) {
                var reader = JSONReader(bytes)
                var result: Line?
                try reader.readObject { (reader, key) throws(JSONError) in
                    switch key {
                    case "columns":
                        var names: [String] = []
                        try reader.readArray { (reader) throws(JSONError) in names.append(try reader.readString()) }
                        result = .columns(names)
                    case "row":
                        result = .row(try Self.row(&reader))
                    case "eoq":
                        result = .end(seconds: try JSONValue(&reader)["time"]?.number ?? 0)
                    case "error":
                        result = .failure(try reader.readString())
                    default:
                        try reader.skipValue()
                    }
                }
                guard let result else { throw reader.shape("a line is columns, row, eoq or error") }
                self = result
            } catch {
                throw .malformed(error.description)
            }
        }

        /// `[1,["x",2]]`
        private static func row(_ reader: inout JSONReader) throws(JSONError) -> [Value] {
            var values: [Value]?
            var position = 0
            try reader.readArray { (reader) throws(JSONError) in
                defer { position += 1 }
                guard position == 1 else { return try reader.skipValue() }
                var row: [Value] = []
                try reader.readArray { (reader) throws(JSONError) in row.append(try StatementDecoder.parameter(&reader)) }
                values = row
            }
            guard let values else { throw reader.shape("a row has a number and values") }
            return values
        }
    }
}
