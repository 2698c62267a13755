import Foundation
import Synchronization

/// Writes data to standard output and everything else to standard error.
enum Output {
    /// Data that waits until it is worth a system call.
    private static let buffer = Mutex<[UInt8]>([])
    private static let bufferBytes = 64 * 1_024
    private static let isTerminal = isatty(STDOUT_FILENO) == 1

    /// One line of data.
    static func line(_ text: String) {
        bytes(Array(text.utf8) + [UInt8(ascii: "\n")])
    }

    /// Data as it is. A terminal shows it at once.
    static func bytes(_ bytes: [UInt8]) {
        let isFull = buffer.withLock { buffer in
            buffer += bytes
            return buffer.count >= bufferBytes
        }
        if isFull || isTerminal { flush() }
    }

    /// Hands over everything that was written so far. When nobody reads any more (`patina query … | head`), the process ends quietly.
    static func flush() {
        let pending = buffer.withLock { buffer in
            defer { buffer.removeAll(keepingCapacity: true) }
            return buffer
        }
        var written = 0
        while written < pending.count {
            let count = pending[written...].withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { exit(1) }
            written += count
        }
    }

    /// One line for people.
    static func error(_ text: String) {
        flush()
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }
}
