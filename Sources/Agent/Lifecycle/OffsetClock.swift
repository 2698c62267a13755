import Foundation
import PatinaStore

/// A wall clock that is off by what a file says at the moment: for experiments with wrong clocks.
final class OffsetClock: Sendable {
    private let descriptor: Int32

    /// - Throws: `AgentError` when the file cannot be opened.
    init(file: String) throws(AgentError) {
        descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw .configuration(key: "--clock-offset-file", reason: "\(file) cannot be opened: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    /// Nanoseconds since 1970; right while the file has fewer than eight bytes.
    var wallClock: @Sendable () -> Int64 {
        { [self] in
            var offset: Int64 = 0
            let count = withUnsafeMutableBytes(of: &offset) { pread(descriptor, $0.baseAddress, $0.count, 0) }
            return systemWallClock() + (count == 8 ? Int64(littleEndian: offset) : 0)
        }
    }
}
