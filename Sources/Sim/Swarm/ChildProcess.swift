#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A child process with pipes to its standard input and output; its standard error is ours.
///
/// The simulator runs seeds in processes of their own, because a seed that breaks an invariant ends its process on the spot: the swarm has
/// to survive that, and to say which seed it was.
final class WorkerProcess {
    let pid: pid_t
    /// The reading end of its standard output.
    let output: Int32
    private var input: Int32
    /// What came since the last full line.
    private var buffer: [UInt8] = []

    /// More than this in one line ends the conversation.
    private static let lineMaximum = 4 * 1_024 * 1_024

    /// Starts a process. Nil when the system refuses; `errno` says why.
    init?(executable: String, arguments: [String]) {
        var toChild: [Int32] = [-1, -1]
        var fromChild: [Int32] = [-1, -1]
        guard pipe(&toChild) == 0 else { return nil }
        guard pipe(&fromChild) == 0 else {
            for descriptor in toChild { close(descriptor) }
            return nil
        }
        // Or a later child would hold the pipes of an earlier one open.
        for descriptor in toChild + fromChild { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
        #else
            var actions = posix_spawn_file_actions_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        var words: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, executable, &actions, nil, words, environ)
        close(toChild[0])
        close(fromChild[1])
        guard code == 0 else {
            close(toChild[1])
            close(fromChild[0])
            errno = code
            return nil
        }
        pid = child
        input = toChild[1]
        output = fromChild[0]
    }

    /// Writes one line; false when the process does not take it any more.
    func send(_ line: String) -> Bool {
        var bytes = Array(line.utf8)
        bytes.append(UInt8(ascii: "\n"))
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            written += count
        }
        return true
    }

    /// What came of the output, once there is something to read.
    enum Reading {
        case line(String)
        case nothingYet
        case ended
    }

    func receive() -> Reading {
        var chunk = [UInt8](repeating: 0, count: 16 * 1_024)
        let count = read(output, &chunk, chunk.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return .nothingYet }
        guard count > 0, buffer.count + count <= Self.lineMaximum else { return .ended }
        buffer += chunk[..<count]
        guard let end = buffer.firstIndex(of: UInt8(ascii: "\n")) else { return .nothingYet }
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(...end)
        return .line(line)
    }

    /// Ends the process if it has not ended, and says how it ended.
    func finish(kill isKilled: Bool) -> String {
        if input >= 0 {
            close(input)
            close(output)
            input = -1
        }
        if isKilled { kill(pid, SIGKILL) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7F
        return signal == 0 ? "exit code \((status >> 8) & 0xFF)" : "signal \(signal)"
    }
}
