import Foundation
import PatinaProtocol
import PatinaSim
import PatinaStore
import PatinaTOML

/// Where the agents of one run keep their files.
struct AgentFiles: Sendable {
    let root: String
    /// In memory where the system has a place for that, so that recording does not make the disk slower than it is.
    let recordings: String
    let nodes: Int

    /// - Parameters:
    ///   - directory: nil: a new temporary folder.
    ///   - keeps: the recordings are to stay, and so are not in memory.
    /// - Throws: `LiveError` when a folder cannot be made.
    init(nodes: Int, directory: String?, keeps: Bool) throws(LiveError) {
        let name = "patina-live-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0...UInt32.max))"
        self.nodes = nodes
        root = directory.map { $0 + "/agents" } ?? FileManager.default.temporaryDirectory.appending(path: name).path(percentEncoded: false)
        var isDirectory: ObjCBool = false
        let hasMemory = FileManager.default.fileExists(atPath: "/dev/shm", isDirectory: &isDirectory) && isDirectory.boolValue
        recordings = hasMemory && !keeps ? "/dev/shm/\(name)" : root + "/recordings"
        // Longer paths than this cannot be bound as a Unix socket.
        guard recordings.utf8.count <= 90 else {
            throw LiveError("the path \(recordings) is too long for the agents' admin sockets: choose a shorter folder")
        }
        try Self.makeDirectory(root)
        try Self.makeDirectory(recordings)
        for node in 0..<nodes { try Self.makeDirectory(folder(node) + "/schema") }
    }

    func folder(_ node: Int) -> String { "\(root)/node-\(node)" }
    func configuration(_ node: Int) -> String { folder(node) + "/config.toml" }
    func database(_ node: Int) -> String { folder(node) + "/state.db" }
    func log(_ node: Int) -> String { folder(node) + "/agent.log" }
    /// Of the process of that number; each has a folder of its own.
    func recording(_ node: Int, life: Int) -> String { "\(recordings)/node-\(node)/\(life)" }
    func clock(_ node: Int) -> String { folder(node) + "/clock" }
    /// Settings of the protocol that are not the default ones; not there when all are.
    func settings(_ node: Int) -> String { folder(node) + "/settings" }
    var certificates: AgentCertificates { AgentCertificates(files: self) }
    var disk: AgentDisk { AgentDisk(files: self) }
    /// In the folder of recordings, whose path is short enough for a socket.
    func adminSocket(_ node: Int) -> String { "\(recordings)/\(node).sock" }

    func write(_ plan: LivePlan, _ addresses: LoopbackPlan) throws(LiveError) {
        try certificates.make(addresses, expiring: plan.expiring)
        for node in 0..<nodes {
            try writeSchema(plan.scenario.schema, of: node)
            try writeConfiguration(of: node, plan, addresses, allowDestructiveSchema: false)
            let settings = plan.settings[node].protocolSettings
            if settings != ProtocolSettings() { try Self.write(Data(settings.bytes), to: self.settings(node)) }
        }
    }

    func writeSchema(_ files: [SchemaFile], of node: Int) throws(LiveError) {
        let folder = folder(node) + "/schema"
        for old in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] { Self.remove("\(folder)/\(old)") }
        for (number, file) in files.enumerated() { try Self.write(file.text, to: "\(folder)/\(1_000 + number).sql") }
    }

    func writeConfiguration(
        of node: Int, _ plan: LivePlan, _ addresses: LoopbackPlan, allowDestructiveSchema: Bool
    ) throws(LiveError) {
        let machine = plan.settings[node].machine
        let bootstrap = plan.contacts[node].map { TOMLText.quote(addresses.advertised($0).description) }.joined(separator: ", ")
        try Self.write(
            """
            [db]
            path = \(TOMLText.quote(database(node)))
            schema_paths = [\(TOMLText.quote(folder(node) + "/schema"))]
            synchronous = \(TOMLText.quote(machine.synchronous.rawValue))
            allow_destructive_schema = \(allowDestructiveSchema)

            [api]
            bind_addr = \(TOMLText.quote(addresses.bound(node).description))

            [admin]
            uds_path = \(TOMLText.quote(adminSocket(node)))

            [log]
            colors = false

            [gossip]
            bind_addr = \(TOMLText.quote(addresses.bound(node).description))
            external_addr = \(TOMLText.quote(addresses.advertised(node).description))
            bootstrap = [\(bootstrap)]
            cluster_id = 1
            idle_timeout_secs = \(max(1, machine.idleTimeout.components.seconds))

            \(certificates.configuration(node))
            """, to: configuration(node))
    }

    /// Removes the recordings, and everything else unless it is to be kept.
    func remove(keeping: Bool) {
        if !keeping {
            Self.remove(recordings)
            Self.remove(root)
        }
    }

    /// The last lines of an agent's log, for messages.
    func endOfLog(_ node: Int) -> String {
        let text = (try? String(contentsOfFile: log(node), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(8).map { "  " + $0 }.joined(separator: "\n")
    }

    static func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    private static func write(_ text: String, to path: String) throws(LiveError) { try write(Data(text.utf8), to: path) }

    private static func write(_ bytes: Data, to path: String) throws(LiveError) {
        do { try bytes.write(to: URL(filePath: path), options: .atomic) } catch {
            throw LiveError("cannot write \(path): \(error.localizedDescription)")
        }
    }

    /// Copies a file over whatever is there.
    static func copy(_ path: String, to target: String) throws(LiveError) {
        remove(target)
        do { try FileManager.default.copyItem(atPath: path, toPath: target) } catch {
            throw LiveError("cannot copy \(path) to \(target): \(error.localizedDescription)")
        }
    }

    static func makeDirectory(_ path: String) throws(LiveError) {
        do { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) } catch {
            throw LiveError("cannot make the folder \(path): \(error.localizedDescription)")
        }
    }
}
