import NIOCore
import Synchronization

/// The channels of a server, connections and HTTP/2 streams alike: to cancel the work for a client that went away, and to
/// close what is left when a shutdown takes too long.
final class ConnectionRegistry: Sendable {
    private struct Entry {
        let channel: any Channel
        var work: [UInt64: @Sendable () -> Void] = [:]
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var nextWork: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Takes note of a channel until it is closed.
    func register(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        state.withLock { $0.entries[id] = Entry(channel: channel) }
        channel.closeFuture.whenComplete { [self] _ in
            let entry = state.withLock { $0.entries.removeValue(forKey: id) }
            if let entry { for cancel in entry.work.values { cancel() } }
        }
    }

    /// Runs `body`, and cancels its task when the channel is closed before it is done.
    func withCancellationOnClose<Result: Sendable>(
        of channel: any Channel, _ body: @escaping @Sendable () async -> Result
    ) async -> Result {
        let id = ObjectIdentifier(channel)
        let task = Task { await body() }
        let number: UInt64? = state.withLock { state in
            guard state.entries[id] != nil else { return nil }
            state.nextWork += 1
            state.entries[id]?.work[state.nextWork] = { task.cancel() }
            return state.nextWork
        }
        if number == nil { task.cancel() }
        defer {
            if let number { state.withLock { _ = $0.entries[id]?.work.removeValue(forKey: number) } }
        }
        return await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Closes every channel at once.
    func closeAll() {
        for channel in state.withLock({ state in state.entries.values.map(\.channel) }) { channel.close(promise: nil) }
    }

    var count: Int { state.withLock { $0.entries.count } }
}
