import PatinaProtocol

/// Writes the lines of a query's answer. Row numbers count up from 1.
struct RowEncoder: Sendable {
    private var rowNumber: UInt64 = 0

    /// `{"columns":["a","b"]}`
    func columns(_ names: [String]) -> [UInt8] {
        var writer = JSONWriter()
        writer.raw("{\"columns\":")
        writer.array(names) { $0.string($1) }
        writer.raw("}\n")
        return writer.bytes
    }

    /// `{"row":[1,["x",2]]}`, a line for each.
    mutating func rows(_ batch: [[Value]]) -> [UInt8] {
        var writer = JSONWriter(capacity: 64 * batch.count)
        for row in batch {
            rowNumber += 1
            writer.raw("{\"row\":[")
            writer.integer(rowNumber)
            writer.raw(",")
            writer.array(row) { $0.value($1) }
            writer.raw("]}\n")
        }
        return writer.bytes
    }

    /// `{"eoq":{"time":0.001}}`: all rows were sent, and it took this many seconds.
    func end(after time: Duration) -> [UInt8] {
        var writer = JSONWriter()
        writer.raw("{\"eoq\":{\"time\":")
        writer.seconds(time)
        writer.raw("}}\n")
        return writer.bytes
    }

    /// `{"error":"interrupted"}` in place of the end.
    func failure(_ message: String) -> [UInt8] {
        var writer = JSONWriter()
        writer.raw("{\"error\":")
        writer.string(message)
        writer.raw("}\n")
        return writer.bytes
    }
}
