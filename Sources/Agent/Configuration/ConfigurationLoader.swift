import Foundation
import PatinaProtocol
import PatinaStore

extension AgentConfiguration {
    /// Where the configuration is when no other file is named.
    public static let defaultFile = "/etc/corrosion/config.toml"
    /// Bytes of a configuration file; a larger one is surely something else.
    public static let maximumFileBytes = 4 * 1_024 * 1_024

    /// Reads the file, lets the environment override it, and checks everything.
    ///
    /// - Throws: `ConfigurationError`, whose description is one line for people.
    public static func load(
        file: String = defaultFile, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationError) -> AgentConfiguration {
        let data: Data
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: file))
            defer { try? handle.close() }
            data = try handle.read(upToCount: maximumFileBytes + 1) ?? Data()
        } catch {
            throw .unreadable(file: file, reason: readableReason(file))
        }
        guard data.count <= maximumFileBytes else {
            throw .unreadable(file: file, reason: "it has more than \(maximumFileBytes) bytes")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw .unreadable(file: file, reason: "it is not UTF-8 text")
        }
        return try parse(text, file: file, environment: environment)
    }

    /// As `load`, from text. `file` is for messages only.
    public static func parse(
        _ text: String, file: String, environment: [String: String] = [:]
    ) throws(ConfigurationError) -> AgentConfiguration {
        var warnings: [String] = []
        var tree = try canonical(ConfigurationTable(toml: text, file: file), under: [], file: file)
        override(&tree, with: environment, warnings: &warnings)
        let reader = ConfigurationReader(tree: tree, file: file)

        guard let path = try reader.string("db.path") else {
            throw reader.missing("db.path", example: "path = \"/var/lib/patina/state.db\"")
        }
        guard let bind = try reader.addresses("api.bind_addr"), !bind.isEmpty else {
            throw reader.missing("api.bind_addr", example: "bind_addr = \"127.0.0.1:8080\"")
        }
        guard let gossipBind = try reader.address("gossip.bind_addr") else {
            throw reader.missing("gossip.bind_addr", example: "bind_addr = \"10.0.0.1:4001\"")
        }
        var configuration = AgentConfiguration(
            database: Database(path: path), api: API(bind: bind), gossip: Gossip(bind: gossipBind, security: try security(reader)))
        try readDatabase(reader, into: &configuration.database)
        try readAPI(reader, into: &configuration.api)
        try readGossip(reader, into: &configuration.gossip)
        if let path = try reader.string("admin.uds_path") { configuration.admin.socketPath = path }
        if let format: Log.Format = try reader.choice("log.format") { configuration.log.format = format }
        if let colors = try reader.boolean("log.colors") { configuration.log.colors = colors }
        report(tree, under: [], into: &warnings)
        configuration.warnings = warnings
        return configuration
    }

    // MARK: Sections

    private static func readDatabase(_ reader: ConfigurationReader, into database: inout Database) throws(ConfigurationError) {
        if let paths = try reader.strings("db.schema_paths") { database.schemaPaths = paths }
        if let isAllowed = try reader.boolean("db.allow_destructive_schema") { database.allowDestructiveSchema = isAllowed }
        if let synchronous: Synchronous = try reader.choice("db.synchronous") { database.synchronous = synchronous }
        if let seconds = try reader.integer("db.tombstone_retention_secs", in: 3_600...3_153_600_000) {
            database.tombstoneRetention = .seconds(seconds)
        }
        if let megabytes = try reader.integer("perf.wal_threshold_mb", in: 1...1_048_576) { database.logBytes = megabytes << 20 }
        // SQLite's convention: negative is KiB, positive is pages (of 4 KiB).
        if let size = try reader.integer("db.cache_size_kib", in: -1_073_741_824...268_435_456) {
            database.cacheKiB = Int(size < 0 ? -size : size * 4)
        }
    }

    private static func readAPI(_ reader: ConfigurationReader, into api: inout API) throws(ConfigurationError) {
        api.endpointName = try reader.string("api.endpoint_name")
        if reader.has("api.authorization") {
            guard let token = try reader.string("api.authorization.bearer-token") else {
                throw reader.missing("api.authorization.bearer-token", example: "bearer-token = \"a long random text\"")
            }
            api.bearerToken = token
        }
        if let bytes = try reader.integer("api.max_body_bytes", in: 1_024...17_179_869_184) { api.maximumBodyBytes = Int(bytes) }
    }

    private static func readGossip(_ reader: ConfigurationReader, into gossip: inout Gossip) throws(ConfigurationError) {
        gossip.external = try reader.address("gossip.external_addr")
        if let bootstrap = try reader.strings("gossip.bootstrap") { gossip.bootstrap = bootstrap }
        if let cluster = try reader.integer("gossip.cluster_id", in: 0...65_535) { gossip.cluster = UInt16(cluster) }
        if let seconds = try reader.integer("gossip.idle_timeout_secs", in: 1...86_400) { gossip.idleTimeout = .seconds(seconds) }
        if let bytes = try reader.integer("gossip.max_mtu", in: 1_200...65_000) { gossip.maximumMTU = Int(bytes) }
        if let isDisabled = try reader.boolean("gossip.disable_gso") { gossip.disableSegmentationOffload = isDisabled }
    }

    private static func security(_ reader: ConfigurationReader) throws(ConfigurationError) -> Security {
        let isPlaintext = try reader.boolean("gossip.plaintext") ?? false
        guard reader.has("gossip.tls") else {
            guard isPlaintext else {
                throw .conflict(
                    reason: "gossip has neither TLS nor plaintext: add [gossip.tls] with cert_file, key_file and ca_file, "
                        + "or, on a trusted network, plaintext = true under [gossip]", file: reader.file)
            }
            return .plaintext
        }
        guard !isPlaintext else {
            throw .conflict(reason: "gossip.plaintext = true contradicts [gossip.tls]; remove one of them", file: reader.file)
        }
        let server = try keyPair("gossip.tls", "server", reader)
        let authority = try reader.string("gossip.tls.ca_file")
        let isInsecure = try reader.boolean("gossip.tls.insecure") ?? false
        if reader.has("gossip.tls.client") {
            guard let authority else {
                throw reader.missing("gossip.tls.ca_file", example: "ca_file = \"/etc/patina/ca_cert.pem\" ([gossip.tls.client] needs it)")
            }
            return .mutual(server: server, authority: authority, client: try keyPair("gossip.tls.client", "client", reader))
        }
        guard authority != nil || isInsecure else {
            throw .conflict(
                reason: "[gossip.tls] has no ca_file to verify peers by: add it, or, to verify nobody, insecure = true", file: reader.file)
        }
        return .server(server, authority: authority)
    }

    private static func keyPair(_ section: String, _ name: String, _ reader: ConfigurationReader) throws(ConfigurationError) -> KeyPair {
        guard let certificate = try reader.string("\(section).cert_file") else {
            throw reader.missing("\(section).cert_file", example: "cert_file = \"/etc/patina/\(name)_cert.pem\"")
        }
        guard let key = try reader.string("\(section).key_file") else {
            throw reader.missing("\(section).key_file", example: "key_file = \"/etc/patina/\(name)_key.pem\"")
        }
        return KeyPair(certificate: certificate, key: key)
    }

    // MARK: Tree

    /// The tree with aliases replaced by the names that are read.
    private static func canonical(
        _ table: ConfigurationTable, under parent: [String], file: String
    ) throws(ConfigurationError) -> ConfigurationTable {
        var result = ConfigurationTable()
        for entry in table.entries {
            let path = KnownKeys.canonical(parent + [entry.key])
            let name = path.last ?? entry.key
            guard result[name] == nil else {
                throw .conflict(reason: "\(path.joined(separator: ".")) is given twice, by different names of the same key", file: file)
            }
            if case .table(let inner) = entry.value {
                result[name] = .table(try canonical(inner, under: path, file: file))
            } else {
                result[name] = entry.value
            }
        }
        return result
    }

    /// Section and key joined by two underscores, in any case: `DB__PATH`, `api__authz__bearer`.
    private static func override(_ tree: inout ConfigurationTable, with environment: [String: String], warnings: inout [String]) {
        for variable in environment.keys.sorted() {
            guard let text = environment[variable], variable.contains("__") else { continue }
            let parts = variable.lowercased().components(separatedBy: "__")
            guard let section = parts.first, KnownKeys.sections.contains(section), !parts.contains("") else { continue }
            let path = KnownKeys.canonical(parts)
            if !tree.set(.text(text, variable: variable), at: path[...]) {
                warnings.append("environment variable \(variable) has no effect: \(path.dropLast().joined(separator: ".")) is no section")
            }
        }
    }

    /// Warns of keys that do nothing: once for a whole table when all of it does nothing.
    private static func report(_ table: ConfigurationTable, under parent: [String], into warnings: inout [String]) {
        for entry in table.entries {
            let path = parent + [entry.key]
            let name = path.joined(separator: ".")
            let isSection = parent.isEmpty && KnownKeys.sections.contains(entry.key)
            if isSection, !KnownKeys.all.contains(where: { $0.path.first == entry.key && $0.use == .used }) {
                warnings.append("section [\(name)] is accepted, but has no effect in this version")
                continue
            }
            guard isSection || KnownKeys.find(path) != nil else {
                let hint = KnownKeys.nearest(to: path).map { "; did you mean \($0)?" } ?? ""
                let origin =
                    switch entry.value {
                    case .text(_, let variable): " (from environment variable \(variable))"
                    case .string, .integer, .real, .boolean, .array, .table, .other: ""
                    }
                warnings.append("unknown key \(name)\(origin) is ignored\(hint)")
                continue
            }
            if let key = KnownKeys.find(path), key.use == .accepted {
                warnings.append("\(name) is accepted, but has no effect in this version")
            } else if case .table(let inner) = entry.value {
                report(inner, under: path, into: &warnings)
            }
        }
    }
}

/// Why a file cannot be opened, in the system's words.
private func readableReason(_ file: String) -> String {
    let descriptor = open(file, O_RDONLY)
    guard descriptor < 0 else {
        close(descriptor)
        return "it cannot be read"
    }
    return String(cString: strerror(errno))
}
