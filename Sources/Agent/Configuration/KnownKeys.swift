import PatinaTOML

/// Every key that a configuration may have: Corrosion's, and a few of ours. `docs/configuration.md` describes them.
enum KnownKeys {
    /// What becomes of a key.
    enum Use: Hashable, Sendable {
        case used
        /// Corrosion has it; here it is accepted and has no effect.
        case accepted
    }

    struct Key: Hashable, Sendable {
        /// From the section down; `*` stands for any name.
        let path: [String]
        /// Other spellings of the last part.
        let aliases: [String]
        let use: Use
    }

    static let all: [Key] = used + accepted

    private static let used: [Key] = [
        key("db.path"), key("db.schema_paths"), key("db.allow_destructive_schema"), key("db.cache_size_kib"), key("db.synchronous"),
        key("db.tombstone_retention_secs"), key("perf.wal_threshold_mb"),
        key("api.bind_addr", "addr"), key("api.endpoint_name"), key("api.authorization", "authz"),
        key("api.authorization.bearer-token", "bearer", "bearer_token"), key("api.max_body_bytes"),
        key("gossip.bind_addr", "addr"), key("gossip.external_addr"), key("gossip.bootstrap"), key("gossip.plaintext"),
        key("gossip.cluster_id"), key("gossip.tls"), key("gossip.tls.cert_file"), key("gossip.tls.key_file"), key("gossip.tls.ca_file"),
        key("gossip.tls.insecure"), key("gossip.tls.client"), key("gossip.tls.client.cert_file"), key("gossip.tls.client.key_file"),
        key("gossip.max_mtu"), key("gossip.idle_timeout_secs"), key("gossip.disable_gso"),
        key("admin.uds_path", "path"),
        key("log.format"), key("log.colors"),
    ]

    private static let accepted: [Key] =
        [
            "db.subscriptions_path", "api.pg", "api.pg.bind_addr", "api.pg.addr", "api.pg.readonly", "api.pg.tls", "api.pg.tls.cert_file",
            "api.pg.tls.key_file", "api.pg.tls.ca_file", "api.pg.tls.verify_client", "gossip.client_addr", "gossip.member_id",
            "gossip.compression", "gossip.compression.enabled", "gossip.compression.level", "gossip.compression.dict_dir",
            "gossip.compression.dict_file", "gossip.broadcast", "gossip.broadcast.plumtree", "gossip.broadcast.plumtree.*",
            "gossip.broadcast.plumtree.eager_ratios.*", "perf.apply_channel_len", "perf.changes_channel_len", "perf.empties_channel_len",
            "perf.to_send_channel_len", "perf.notifications_channel_len", "perf.schedule_channel_len", "perf.clearbuf_channel_len",
            "perf.bcast_channel_len", "perf.foca_channel_len", "perf.sql_tx_timeout", "perf.processing_queue_len",
            "perf.min_sync_backoff", "perf.max_sync_backoff", "perf.partial_retry_backoff", "perf.apply_queue_timeout",
            "perf.apply_queue_min_batch_size", "perf.apply_queue_step_base", "perf.apply_queue_max_batch_size",
            "perf.apply_queue_batch_threshold_ratio", "telemetry.prometheus", "telemetry.prometheus.bind_addr",
            "telemetry.prometheus.addr", "telemetry.open-telemetry", "telemetry.open-telemetry.exporter",
            "telemetry.open-telemetry.exporter.endpoint", "telemetry.open_telemetry", "consul.client", "consul.client.address",
            "consul.client.addr", "consul.client.tls", "consul.client.tls.ca_file", "consul.client.tls.cert_file",
            "consul.client.tls.key_file", "reaper.tables", "reaper.tables.*", "reaper.tables.*.retention", "reaper.tables.*.match_filter",
            "reaper.check_interval", "reaper.check_orphaned_pks", "reaper.row_limit",
        ].map { Key(path: parts($0), aliases: [], use: .accepted) }

    static let sections = ["db", "api", "gossip", "admin", "log", "perf", "telemetry", "consul", "reaper"]

    /// The key that a path means, its aliases and wildcards resolved.
    static func find(_ path: [String]) -> Key? {
        all.first { key in
            key.path.count == path.count
                && zip(key.path, path).enumerated().allSatisfy { index, pair in
                    let (known, given) = pair
                    return known == "*" || known == given || (index == path.count - 1 && key.aliases.contains(given))
                }
        }
    }

    /// The spelling that the configuration is read by: `api.addr` is `api.bind_addr`.
    static func canonical(_ path: [String]) -> [String] {
        var result: [String] = []
        for part in path {
            let key = find(result + [part])
            result.append(key.map { $0.path.last == "*" ? part : $0.path.last ?? part } ?? part)
        }
        return result
    }

    /// The known key that an unknown one was probably meant to be.
    static func nearest(to path: [String]) -> String? {
        guard let last = path.last else { return nil }
        if path.count == 1 { return Spelling.nearest(to: last, among: sections, slips: 1) }
        let parent = Array(path.dropLast())
        let siblings = all.filter { Array($0.path.dropLast()) == parent && $0.path.last != "*" }
        if let near = Spelling.nearest(to: last, among: siblings.compactMap(\.path.last), slips: 1) {
            return (parent + [near]).joined(separator: ".")
        }
        // Spelled right, but in the wrong section.
        let elsewhere = all.first { $0.path.last == last && $0.use == .used }
        return elsewhere?.path.joined(separator: ".")
    }

    private static func key(_ path: String, _ aliases: String...) -> Key { Key(path: parts(path), aliases: aliases, use: .used) }

    private static func parts(_ path: String) -> [String] { path.split(separator: ".").map(String.init) }
}
