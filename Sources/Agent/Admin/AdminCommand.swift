/// What may be asked over the admin socket, in the external tagging of serde that Corrosion's command line speaks.
public enum AdminCommand: Hashable, Sendable {
    case ping
    /// Read the schema files again and apply them; also what loses data, if that is allowed here or by the configuration.
    case reload(allowDestructive: Bool)
    case members
    case membershipStates
    case rejoin
    /// Close the connections to all other nodes.
    case reconnect
    /// What this node has and lacks of every actor's versions.
    case syncState
    /// The whole database, without its identity; the answer is described at `AdminSnapshots`.
    case snapshot
    case setLogFilter(String)
    case resetLogFilter

    /// Why a command was not understood.
    public struct Malformed: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Corrosion's commands that are known and not carried out here.
    private static let unsupported = [
        "ReloadDicts", "Sync.ReconcileGaps", "Sync.CheckBookieConsistency", "Sync.ProcessBufferedChanges", "Cluster.SetId", "Actor.Version",
        "Subs.List", "Subs.Info", "Plumtree.Stats",
    ]

    public init(json: [UInt8]) throws(Malformed) {
        let value: JSONValue
        do {
            value = try JSONValue(json: json)
        } catch {
            throw Malformed(description: "the command is not JSON: \(error)")
        }
        // The path of tags, and what the innermost one carries.
        var path: [String] = []
        var content = value
        while path.count < 3 {
            if case .string(let tag) = content {
                path.append(tag)
                content = .null
                break
            }
            guard case .object(let members) = content, members.count == 1, let member = members.first else { break }
            if path.count == 2 { break }
            path.append(member.key)
            content = member.value
            if Self.isComplete(path) { break }
        }
        switch (path.joined(separator: "."), content) {
        case ("Ping", .null): self = .ping
        case ("Reload", .null): self = .reload(allowDestructive: false)
        case ("Reload", .object(let members)):
            guard members.count == 1, members[0].key == "allow_destructive", case .boolean(let isAllowed) = members[0].value else {
                throw Malformed(description: "Reload takes {\"allow_destructive\":true} or nothing")
            }
            self = .reload(allowDestructive: isAllowed)
        case ("Cluster.Members", .null): self = .members
        case ("Cluster.MembershipStates", .null): self = .membershipStates
        case ("Cluster.Rejoin", .null): self = .rejoin
        case ("Cluster.Reconnect", .null): self = .reconnect
        case ("Sync.Generate", .null): self = .syncState
        case ("Snapshot", .null): self = .snapshot
        case ("Log.Reset", .null): self = .resetLogFilter
        case ("Log.Set", let arguments):
            guard let filter = arguments["filter"]?.string else {
                throw Malformed(description: "Log Set needs a filter, as in {\"Log\":{\"Set\":{\"filter\":\"debug\"}}}")
            }
            self = .setLogFilter(filter)
        case (let name, _) where Self.unsupported.contains(name):
            throw Malformed(description: "the command \(name.replacing(".", with: " ")) is not supported in this version")
        case (let name, _):
            let shown = name.isEmpty ? "the frame" : "\"\(name.replacing(".", with: " ").prefix(100))\""
            throw Malformed(description: "\(shown) is no known command")
        }
    }

    /// Tags that carry arguments instead of another tag.
    private static func isComplete(_ path: [String]) -> Bool {
        path.count == 2 || path == ["Ping"] || path == ["Reload"] || path == ["ReloadDicts"]
    }

    public var json: [UInt8] {
        let value: JSONValue =
            switch self {
            case .ping: .string("Ping")
            case .reload(false): .string("Reload")
            case .reload(true): .members(("Reload", .members(("allow_destructive", .boolean(true)))))
            case .members: .members(("Cluster", .string("Members")))
            case .membershipStates: .members(("Cluster", .string("MembershipStates")))
            case .rejoin: .members(("Cluster", .string("Rejoin")))
            case .reconnect: .members(("Cluster", .string("Reconnect")))
            case .syncState: .members(("Sync", .string("Generate")))
            case .snapshot: .string("Snapshot")
            case .setLogFilter(let filter): .members(("Log", .members(("Set", .members(("filter", .string(filter)))))))
            case .resetLogFilter: .members(("Log", .string("Reset")))
            }
        return value.json()
    }
}

/// One frame of an answer. A command is over at the first `success` or `failure`.
public enum AdminResponse: Hashable, Sendable {
    case log(level: String, message: String)
    case failure(String)
    case success
    case json(JSONValue)

    public init(json: [UInt8]) throws(JSONError) {
        var reader = JSONReader(json)
        let value = try JSONValue(&reader)
        try reader.finish()
        if value == .string("Success") {
            self = .success
        } else if let content = value["Json"] {
            self = .json(content)
        } else if let error = value["Error"] {
            self = .failure(error["msg"]?.string ?? "the agent gave no reason")
        } else if let log = value["Log"] {
            self = .log(level: log["level"]?.string ?? "info", message: log["msg"]?.string ?? "")
        } else {
            throw reader.shape("an answer is \"Success\", Json, Error or Log")
        }
    }

    /// - Parameter timestamp: for `log`, as the nine numbers that Corrosion writes.
    func json(timestamp: [Int64] = []) -> [UInt8] {
        let value: JSONValue =
            switch self {
            case .success: .string("Success")
            case .json(let content): .members(("Json", content))
            case .failure(let message): .members(("Error", .members(("msg", .string(message)))))
            case .log(let level, let message):
                .members(
                    (
                        "Log",
                        .members(
                            ("level", .string(level)), ("msg", .string(message)), ("ts", .array(timestamp.map { .integer($0) })))
                    ))
            }
        return value.json()
    }
}
