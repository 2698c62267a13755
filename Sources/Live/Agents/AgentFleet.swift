import Foundation
import PatinaAgent
import PatinaProtocol

/// The agent processes of a run: started, killed, stopped and ended here, and never left behind. Each watches its standard input, so that
/// it ends even when this process is killed.
actor AgentFleet {
    /// What was done to a process, and when: what its recording cannot say.
    struct LifeEvent: Sendable {
        enum Kind: Sendable { case started, ended, paused, resumed }

        let node: Int
        let at: Instant
        let kind: Kind
    }

    private enum Patience {
        /// Until an agent answers over HTTP.
        static let start: Duration = .seconds(60)
        /// Until an agent that was asked to has ended; an agent promises five seconds.
        static let end: Duration = .seconds(8)
        static let poll: Duration = .milliseconds(20)
        /// Until a process stands still after SIGSTOP.
        static let stop: Duration = .seconds(2)
        /// How long a process that is slow runs before it stands still again.
        static let slice: Duration = .milliseconds(1)
    }

    /// Agents give way to the relay, which stands for a network that nobody has to wait for.
    private static let niceness: Int32 = 5

    private let executable: String
    private let files: AgentFiles
    private let addresses: LoopbackPlan
    private var children: [Int: ChildProcess] = [:]
    /// Ends that were asked for.
    private var expected: Set<Int32> = []
    private var heldDownBy: [Int]
    private var pausedBy: [Int]
    /// By agent for how long each fault lets it stand still again and again, and who sees to it.
    private var slowedBy: [[Duration]]
    private var slowing: [Int: Task<Void, any Error>] = [:]
    /// Agents whose processes may end by themselves: their files were damaged.
    private var damaged: Set<Int> = []
    private(set) var lives: [LifeEvent] = []
    /// Ends that nobody asked for, and what else no fault asked for, each a sentence.
    private(set) var incidents: [String] = []
    private var isEnding = false

    init(executable: String, files: AgentFiles, addresses: LoopbackPlan) {
        self.executable = executable
        self.files = files
        self.addresses = addresses
        heldDownBy = Array(repeating: 0, count: files.nodes)
        pausedBy = Array(repeating: 0, count: files.nodes)
        slowedBy = Array(repeating: [], count: files.nodes)
    }

    /// The agents that are running and were not stopped.
    var responsive: [Int] {
        (0..<files.nodes).filter { children[$0]?.hasEnded == false && pausedBy[$0] == 0 }
    }

    /// Starts all of them, two at a time, and waits until each answers.
    ///
    /// - Throws: `LiveError` when one does not, `CancellationError` when the task was cancelled.
    func startAll() async throws {
        var next = 0
        while next < files.nodes {
            let batch = next..<min(files.nodes, next + 2)
            for node in batch { try start(node) }
            for node in batch { try await waitUntilReady(node) }
            next = batch.upperBound
        }
    }

    /// Starts a process, unless one runs, or a fault holds it down.
    func start(_ node: Int) throws(LiveError) {
        guard !isEnding, heldDownBy[node] == 0, children[node]?.hasEnded ?? true else { return }
        let child: ChildProcess
        do {
            child = try ChildProcess(
                executable: executable, arguments: arguments(node, life: lives.count { $0.node == node && $0.kind == .started } + 1),
                environment: ["PATINA_LOG": "warning"], output: files.log(node)
            ) { [weak self] ending in
                let now = Monotonic.now
                Task { await self?.ended(node, "\(ending)", at: now) }
            }
        } catch {
            throw LiveError("agent \(node) cannot be started: \(error)")
        }
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), UInt32(child.identifier), Self.niceness)
        children[node] = child
        lives.append(LifeEvent(node: node, at: Monotonic.now, kind: .started))
    }

    private func arguments(_ node: Int, life: Int) -> [String] {
        let settings = files.settings(node)
        return [
            "--config", files.configuration(node), "agent", "--until-input-ends", "--record", files.recording(node, life: life),
            "--record-digests", "--clock-offset-file", files.clock(node),
        ] + (FileManager.default.fileExists(atPath: settings) ? ["--protocol-settings-file", settings] : [])
    }

    private func waitUntilReady(_ node: Int) async throws {
        let client = APIClient(address: addresses.bound(node))
        let deadline = Monotonic.now + Patience.start
        while (try? await client.health()) == nil {
            try Task.checkCancellation()
            if children[node]?.hasEnded ?? true { throw LiveError("agent \(node) ended before it answered:\n\(files.endOfLog(node))") }
            guard Monotonic.now < deadline else {
                throw LiveError("agent \(node) does not answer after \(Patience.start.components.seconds) s:\n\(files.endOfLog(node))")
            }
            try await Task.sleep(for: Patience.poll)
        }
    }

    private func ended(_ node: Int, _ how: String, at now: Instant) {
        lives.append(LifeEvent(node: node, at: now, kind: .ended))
        guard let child = children[node], child.hasEnded, expected.remove(child.identifier) == nil, !isEnding, !damaged.contains(node)
        else { return }
        incidents.append("node:\(node) \(how) without having been asked to; its log ends:\n\(files.endOfLog(node))")
    }

    /// Something went wrong that no fault asked for.
    func note(_ incident: String) { incidents.append(incident) }

    // MARK: Faults

    /// Ends a process at once and waits until it is gone.
    func kill(_ node: Int) async {
        heldDownBy[node] += 1
        guard let child = children[node], !child.hasEnded else { return }
        expected.insert(child.identifier)
        child.signal(SIGKILL)
        _ = await child.waitUntilEnded()
    }

    /// A fault that held a process down is over.
    func revive(_ node: Int) throws(LiveError) {
        heldDownBy[node] -= 1
        try start(node)
    }

    /// Asks a process to end.
    func leave(_ node: Int) {
        guard let child = children[node], !child.hasEnded else { return }
        expected.insert(child.identifier)
        child.signal(SIGTERM)
    }

    func pause(_ node: Int) {
        pausedBy[node] += 1
        guard pausedBy[node] == 1, let child = children[node], !child.hasEnded else { return }
        child.signal(SIGSTOP)
        lives.append(LifeEvent(node: node, at: Monotonic.now, kind: .paused))
    }

    func resume(_ node: Int) {
        pausedBy[node] -= 1
        guard pausedBy[node] == 0, let child = children[node], !child.hasEnded else { return }
        child.signal(SIGCONT)
        lives.append(LifeEvent(node: node, at: Monotonic.now, kind: .resumed))
    }

    /// Does something while the process of an agent, if there is one, does not run.
    ///
    /// - Throws: what `body` throws, `LiveError` when the system does not stop the process.
    func whileStopped(_ node: Int, _ body: @Sendable () throws(LiveError) -> Void) throws(LiveError) {
        guard let child = children[node], !child.hasEnded else { return try body() }
        child.signal(SIGSTOP)
        defer { if pausedBy[node] == 0 { child.signal(SIGCONT) } }
        let deadline = Monotonic.now + Patience.stop
        while !child.hasEnded, !Self.isStopped(child.identifier) {
            guard Monotonic.now < deadline else {
                throw LiveError("agent \(node) does not stand still \(Patience.stop.components.seconds) s after SIGSTOP")
            }
            usleep(200)
        }
        try body()
    }

    private static func isStopped(_ process: Int32) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8), let end = text.lastIndex(of: ")") else {
            return true
        }
        return text[end...].dropFirst(2).first == "T"
    }

    /// The files of an agent were damaged: from now on its processes may end by themselves.
    func noteDamage(_ node: Int) { damaged.insert(node) }

    /// Agents whose files were damaged and that do not run.
    var broken: Set<Int> { damaged.filter { children[$0]?.hasEnded ?? true } }

    /// Lets a process stand still for so long, run for a moment (`Patience.slice`), and so on.
    func slowDown(_ node: Int, by time: Duration) {
        slowedBy[node].append(time)
        slow(node)
    }

    /// The fault that made it slow by that is over.
    func speedUp(_ node: Int, by time: Duration) {
        if let index = slowedBy[node].firstIndex(of: time) { slowedBy[node].remove(at: index) }
        slow(node)
    }

    private func slow(_ node: Int) {
        slowing.removeValue(forKey: node)?.cancel()
        letRun(node)
        let time = slowedBy[node].reduce(Duration.zero, +)
        guard time > .zero, !isEnding else { return }
        slowing[node] = Task { [weak self] in
            while !Task.isCancelled {
                await self?.hold(node)
                try await Task.sleep(for: time, tolerance: .zero)
                await self?.letRun(node)
                try await Task.sleep(for: Patience.slice, tolerance: .zero)
            }
        }
    }

    private func hold(_ node: Int) {
        if !Task.isCancelled, !isEnding { children[node]?.signal(SIGSTOP) }
    }

    private func letRun(_ node: Int) {
        if pausedBy[node] == 0 { children[node]?.signal(SIGCONT) }
    }

    // MARK: The end

    /// Ends all of them: first with a request, then, or at once, without.
    func stop(gracefully: Bool) async {
        isEnding = true
        for task in slowing.values { task.cancel() }
        let running = children.values.filter { !$0.hasEnded }
        for child in running {
            if gracefully { child.signal(SIGTERM) }
            // What stands still hears nothing.
            child.signal(gracefully ? SIGCONT : SIGKILL)
        }
        let deadline = Task {
            try await Task.sleep(for: Patience.end)
            for child in running { child.signal(SIGKILL) }
        }
        for child in running { _ = await child.waitUntilEnded() }
        deadline.cancel()
    }
}
