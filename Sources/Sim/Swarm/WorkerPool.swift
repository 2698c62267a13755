import PatinaProtocol

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Runs requests on several processes at once, or one after the other in this one.
struct WorkerPool {
    /// The program that serves as worker; nil: everything runs in this process, and a broken invariant ends it.
    var executable: String?
    /// `path=value` each, for every run.
    var overrides: [String]
    var jobs: Int
    /// A run that takes longer than this is ended, and counts as failed.
    var patience: Duration = .seconds(900)

    /// Workers at most.
    static let jobsMaximum = 256

    /// Hands out requests until there are none, or until `done` returns false. Answers come in any order.
    ///
    /// - Returns: nil, or why workers could not be started.
    func run(next: () -> WorkerRequest?, done: (WorkerRequest, WorkerResult) -> Bool) -> String? {
        guard let executable else {
            while let request = next() {
                guard done(request, SwarmWorker.run(request, overrides: overrides)) else { break }
            }
            return nil
        }
        // A worker that has died is noticed by what it does not answer.
        signal(SIGPIPE, SIG_IGN)
        var slots: [Slot] = []
        defer { for slot in slots { _ = slot.process.finish(kill: true) } }
        while slots.count < min(jobs, Self.jobsMaximum), let request = next() {
            guard let slot = Slot(executable, overrides, request) else { return "\(executable) cannot be started: \(Self.lastError)" }
            slots.append(slot)
        }
        while !slots.isEmpty {
            var waiting = slots.map { pollfd(fd: $0.process.output, events: Int16(POLLIN), revents: 0) }
            let count = poll(&waiting, nfds_t(waiting.count), 1_000)
            if count < 0, errno != EINTR { return "the workers cannot be waited for: \(Self.lastError)" }
            // From the back, so that a slot that goes does not move those that are still to be looked at.
            for index in waiting.indices.reversed() {
                guard let result = look(at: &slots[index], isReady: waiting[index].revents != 0) else { continue }
                guard done(slots[index].request, result) else { return nil }
                guard let request = next() else {
                    _ = slots.remove(at: index).process.finish(kill: false)
                    continue
                }
                if slots[index].isDead || !slots[index].process.send(request.line) {
                    if !slots[index].isDead { _ = slots[index].process.finish(kill: true) }
                    guard let slot = Slot(executable, overrides, request) else {
                        slots.remove(at: index)
                        return "\(executable) cannot be started: \(Self.lastError)"
                    }
                    slots[index] = slot
                } else {
                    slots[index].begin(request)
                }
            }
        }
        return nil
    }

    private struct Slot {
        let process: WorkerProcess
        private(set) var request: WorkerRequest
        private(set) var startedAt: Int64
        var isDead = false

        init?(_ executable: String, _ overrides: [String], _ request: WorkerRequest) {
            let arguments = ["sim", "swarm", "--worker"] + overrides.flatMap { ["--set", $0] } + [request.file]
            guard let process = WorkerProcess(executable: executable, arguments: arguments) else { return nil }
            self.process = process
            self.request = request
            startedAt = SimulationCommand.monotonicNanoseconds()
            // A process that has died already is found when its answer is read.
            _ = process.send(request.line)
        }

        mutating func begin(_ request: WorkerRequest) {
            self.request = request
            startedAt = SimulationCommand.monotonicNanoseconds()
        }
    }

    /// The result of a slot's run; nil while it is under way.
    private func look(at slot: inout Slot, isReady: Bool) -> WorkerResult? {
        if !isReady {
            guard SimulationCommand.monotonicNanoseconds() - slot.startedAt > patience.nanoseconds else { return nil }
            slot.isDead = true
            _ = slot.process.finish(kill: true)
            return WorkerResult(failing: "the run ends", "it was ended after \(Quantity.print(patience))")
        }
        switch slot.process.receive() {
        case .nothingYet: return nil
        case .line(let line):
            do throws(JSONFailure) {
                return try WorkerResult(line: line)
            } catch {
                return WorkerResult(failing: "the worker answers", "\(error): \(line.prefix(200))")
            }
        case .ended:
            slot.isDead = true
            let how = slot.process.finish(kill: false)
            return WorkerResult(
                failing: WorkerResult.deadProcess, "it ended with \(how) in the middle of the run; what it said is above, on standard error"
            )
        }
    }

    private static var lastError: String { String(cString: strerror(errno)) }
}
