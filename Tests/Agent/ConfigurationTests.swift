import Foundation
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaAgent

@Suite("Configuration")
struct ConfigurationTests {
    static let minimal = """
        [db]
        path = "/data/state.db"
        [api]
        bind_addr = "127.0.0.1:8080"
        [gossip]
        bind_addr = "127.0.0.1:4001"
        plaintext = true
        """

    private func parse(_ text: String, _ environment: [String: String] = [:]) throws -> AgentConfiguration {
        try AgentConfiguration.parse(text, file: "patina.toml", environment: environment)
    }

    /// The one line that people see.
    private func error(_ text: String, _ environment: [String: String] = [:]) -> String {
        do {
            return "accepted: \(try parse(text, environment))"
        } catch {
            return "\(error)"
        }
    }

    @Test("configuration: a minimal file gives the defaults")
    func minimal() throws {
        var expected = AgentConfiguration(
            database: .init(path: "/data/state.db"), api: .init(bind: [Address(ipv4: 0x7F00_0001, port: 8_080)]),
            gossip: .init(bind: Address(ipv4: 0x7F00_0001, port: 4_001), security: .plaintext))
        #expect(try parse(Self.minimal) == expected)
        #expect(expected.admin.socketPath == "/var/run/corrosion/admin.sock")
        #expect(expected.database.cacheKiB == 1_048_576)
        expected.warnings = ["x"]
        #expect(try parse(Self.minimal) != expected)
    }

    @Test("configuration: every key is read, by its name and by its alias")
    func everything() throws {
        let configuration = try parse(
            """
            [db]
            path = "/data/state.db"
            schema_paths = ["/etc/schema", "/etc/more.sql"]
            cache_size_kib = -2048
            synchronous = "full"
            [api]
            addr = ["127.0.0.1:8080", "[::1]:8081"]
            endpoint_name = "here"
            authz = { bearer = "secret" }
            max_body_bytes = 1048576
            [gossip]
            addr = "[::]:4001"
            external_addr = "10.0.0.1:4001"
            bootstrap = ["10.0.0.2:4001", "node.internal:4001"]
            cluster_id = 7
            max_mtu = 1400
            idle_timeout_secs = 60
            disable_gso = true
            [gossip.tls]
            cert_file = "s.pem"
            key_file = "s.key"
            ca_file = "ca.pem"
            client = { cert_file = "c.pem", key_file = "c.key" }
            [admin]
            path = "/run/patina.sock"
            [log]
            format = "json"
            colors = false
            """)
        #expect(configuration.database.schemaPaths == ["/etc/schema", "/etc/more.sql"])
        #expect(configuration.database.cacheKiB == 2_048)
        #expect(configuration.database.synchronous == .full)
        #expect(configuration.api.bind == [Address("127.0.0.1:8080"), Address("[::1]:8081")])
        #expect(configuration.api.endpointName == "here")
        #expect(configuration.api.bearerToken == "secret")
        #expect(configuration.api.maximumBodyBytes == 1_048_576)
        #expect(configuration.gossip.bind == Address("[::]:4001"))
        #expect(configuration.gossip.external == Address("10.0.0.1:4001"))
        #expect(configuration.gossip.bootstrap == ["10.0.0.2:4001", "node.internal:4001"])
        #expect(configuration.gossip.cluster == 7)
        #expect(configuration.gossip.maximumMTU == 1_400)
        #expect(configuration.gossip.idleTimeout == .seconds(60))
        #expect(configuration.gossip.disableSegmentationOffload)
        let server = AgentConfiguration.KeyPair(certificate: "s.pem", key: "s.key")
        let client = AgentConfiguration.KeyPair(certificate: "c.pem", key: "c.key")
        #expect(configuration.gossip.security == .mutual(server: server, authority: "ca.pem", client: client))
        #expect(configuration.admin.socketPath == "/run/patina.sock")
        #expect(configuration.log.format == .json && !configuration.log.colors)
        #expect(configuration.warnings.isEmpty)
    }

    /// What stands under `[gossip]`, and what is said about it; nil when it is good.
    static let securityRules: [(gossip: String, refusal: String?)] = [
        ("plaintext = true", nil),
        (files, "gossip has neither TLS nor plaintext: add [gossip.tls] with cert_file, key_file and ca_file, "),
        ("plaintext = true\n[gossip.tls]\n\(files)\n\(authority)", "gossip.plaintext = true contradicts [gossip.tls]; remove one of them"),
        ("[gossip.tls]\n\(files)\n\(authority)", nil),
        ("[gossip.tls]\n\(files)\ninsecure = true", nil),
        ("[gossip.tls]\n\(files)", "[gossip.tls] has no ca_file to verify peers by: add it, or, to verify nobody, insecure = true"),
        ("[gossip.tls]\nkey_file = 'b'", "the required key gossip.tls.cert_file is missing; write under [gossip.tls], for example: "),
        ("[gossip.tls]\n\(files)\n\(authority)\n[gossip.tls.client]\n\(files)", nil),
        (
            "[gossip.tls]\n\(files)\n\(authority)\n[gossip.tls.client]\ncert_file = 'd'",
            "the required key gossip.tls.client.key_file is missing; write under [gossip.tls.client], for example: "
        ),
        (
            "[gossip.tls]\n\(files)\ninsecure = true\n[gossip.tls.client]\n\(files)",
            "the required key gossip.tls.ca_file is missing; write under [gossip.tls], for example: "
        ),
    ]
    private static let files = "cert_file = 'a'\nkey_file = 'b'"
    private static let authority = "ca_file = 'c'"

    @Test("configuration: the rules of TLS", arguments: securityRules.indices)
    func security(index: Int) {
        let rule = Self.securityRules[index]
        let text = Self.minimal.replacing("plaintext = true", with: rule.gossip)
        if let refusal = rule.refusal {
            #expect(error(text).hasPrefix("patina.toml: \(refusal)"))
        } else {
            #expect(throws: Never.self) { try parse(text) }
        }
    }

    @Test(
        "configuration: a missing key is named with its file and an example",
        arguments: [
            ("path = \"/data/state.db\"", "db.path", "db", "path = \"/var/lib/patina/state.db\""),
            ("bind_addr = \"127.0.0.1:8080\"", "api.bind_addr", "api", "bind_addr = \"127.0.0.1:8080\""),
            ("bind_addr = \"127.0.0.1:4001\"", "gossip.bind_addr", "gossip", "bind_addr = \"10.0.0.1:4001\""),
        ])
    func missing(line: String, key: String, section: String, example: String) {
        let expected = "patina.toml: the required key \(key) is missing; write under [\(section)], for example: \(example)"
        #expect(error(Self.minimal.replacing(line, with: "")) == expected)
    }

    @Test("configuration: an empty file names the first missing key")
    func empty() { #expect(error("").hasPrefix("patina.toml: the required key db.path is missing")) }

    @Test(
        "configuration: a bad value is named with what is allowed",
        arguments: [
            ("path = \"/data/state.db\"", "path = 3", "patina.toml: db.path is 3, but must be a text in quotes"),
            ("path = \"/data/state.db\"", "path = \"\"", "patina.toml: db.path is \"\", but must be a text that is not empty"),
            (
                "path = \"/data/state.db\"", "path = \"x\"\nsynchronous = \"off\"",
                "patina.toml: db.synchronous is \"off\", but must be \"normal\" or \"full\""
            ),
            (
                "bind_addr = \"127.0.0.1:8080\"", "bind_addr = \"localhost:8080\"",
                "patina.toml: api.bind_addr is \"localhost:8080\", but must be an IP address and a port, such as \"127.0.0.1:8080\" "
                    + "or \"[::1]:8080\""
            ),
            ("bind_addr = \"127.0.0.1:8080\"", "bind_addr = [1, 2]", "patina.toml: api.bind_addr is [1, 2], but must be an array of texts"),
            ("plaintext = true", "plaintext = \"yes\"", "patina.toml: gossip.plaintext is \"yes\", but must be true or false"),
            (
                "plaintext = true", "plaintext = true\nmax_mtu = 100",
                "patina.toml: gossip.max_mtu is 100, but must be an integer from 1200 to 65000"
            ),
            (
                "plaintext = true", "plaintext = true\nidle_timeout_secs = 1.5",
                "patina.toml: gossip.idle_timeout_secs is 1.5, but must be an integer from 1 to 86400"
            ),
            (
                "plaintext = true", "plaintext = true\nbootstrap = 2026-11-22",
                "patina.toml: gossip.bootstrap is 2026-11-22, but must be an array of texts"
            ),
            (
                "plaintext = true", "plaintext = true\n[log]\nformat = \"xml\"",
                "patina.toml: log.format is \"xml\", but must be \"plaintext\" or \"json\""
            ),
            (
                "bind_addr = \"127.0.0.1:8080\"", "bind_addr = \"127.0.0.1:8080\"\naddr = \"127.0.0.1:8081\"",
                "patina.toml: api.bind_addr is given twice, by different names of the same key"
            ),
            (
                "bind_addr = \"127.0.0.1:8080\"", "bind_addr = \"127.0.0.1:8080\"\nauthorization = {}",
                "patina.toml: the required key api.authorization.bearer-token is missing; write under [api.authorization], for example: "
                    + "bearer-token = \"a long random text\""
            ),
        ])
    func badValues(line: String, replacement: String, expected: String) {
        #expect(error(Self.minimal.replacing(line, with: replacement)) == expected)
    }

    @Test("configuration: text that is not TOML is named with line and column")
    func notTOML() {
        #expect(error("[db]\npath = ").hasPrefix("patina.toml:2:"))
        #expect(error("[db]\npath = \"a\"\npath = \"b\"").hasPrefix("patina.toml:3:"))
        #expect(
            error("[db]\n\u{0}path = \"a\"") == "patina.toml:2:1: not TOML: a key is missing: letters, digits, _ and -, or text in quotes")
    }

    @Test("configuration: unknown keys are warned of with the nearest spelling, and tolerated")
    func unknownKeys() throws {
        let text =
            """
            [databse]
            x = 1
            """ + "\n" + Self.minimal + "\n" + """
                bootsrap = []
                frobnicate = true
                schema_paths = []
                [log]
                formt = "json"
                [unrelated.table]
                a = 1
                """
        let warnings = try parse(text).warnings
        #expect(warnings.contains("unknown key gossip.bootsrap is ignored; did you mean gossip.bootstrap?"))
        #expect(warnings.contains("unknown key gossip.frobnicate is ignored"))
        #expect(warnings.contains("unknown key gossip.schema_paths is ignored; did you mean db.schema_paths?"))
        #expect(warnings.contains("unknown key log.formt is ignored; did you mean log.format?"))
        #expect(warnings.contains("unknown key unrelated is ignored"))
        #expect(warnings.contains("unknown key databse is ignored"))
        #expect(warnings.count == 6)
    }

    @Test("configuration: what Corrosion has and we do not is accepted with a warning")
    func acceptedKeys() throws {
        let text =
            Self.minimal + "\n" + """
                client_addr = "[::]:0"
                broadcast = "gossip"
                [gossip.compression]
                enabled = true
                [perf]
                sql_tx_timeout = 30
                anything = 1
                [telemetry]
                open-telemetry = "from-env"
                [consul.client]
                address = "127.0.0.1:8501"
                [reaper.tables.t]
                retention = "1d"
                [[api.pg]]
                bind_addr = "127.0.0.1:5432"
                """
        #expect(
            Set(try parse(text).warnings) == [
                "api.pg is accepted, but has no effect in this version",
                "gossip.broadcast is accepted, but has no effect in this version",
                "gossip.client_addr is accepted, but has no effect in this version",
                "gossip.compression is accepted, but has no effect in this version",
                "perf.sql_tx_timeout is accepted, but has no effect in this version", "unknown key perf.anything is ignored",
                "section [telemetry] is accepted, but has no effect in this version",
                "section [consul] is accepted, but has no effect in this version",
                "section [reaper] is accepted, but has no effect in this version",
            ])
    }

    @Test("configuration: retention of tombstones and size of the log")
    func maintenance() throws {
        let plain = try parse(Self.minimal).database
        #expect(plain.tombstoneRetention == nil)
        #expect(plain.logBytes == 64 << 20)
        let environment = ["DB__TOMBSTONE_RETENTION_SECS": "604800", "PERF__WAL_THRESHOLD_MB": "5120"]
        let given = try parse(Self.minimal, environment).database
        #expect(given.tombstoneRetention == .seconds(604_800))
        #expect(given.logBytes == 5_120 << 20)
        #expect(throws: ConfigurationError.self) { try parse(Self.minimal, ["DB__TOMBSTONE_RETENTION_SECS": "60"]) }
        #expect(throws: ConfigurationError.self) { try parse(Self.minimal, ["PERF__WAL_THRESHOLD_MB": "0"]) }
    }

    @Test("configuration: the environment overrides, in any case, by alias, coerced")
    func environment() throws {
        let configuration = try parse(
            Self.minimal,
            [
                "DB__PATH": "/other.db", "api__addr": "127.0.0.1:9", "Gossip__Bootstrap": "10.0.0.9:4001", "GOSSIP__IDLE_TIMEOUT_SECS": "5",
                "GOSSIP__DISABLE_GSO": "True", "API__AUTHZ__BEARER": "token", "LOG__FORMAT": "json", "DB__SCHEMA_PATHS": "/schema",
                "UNRELATED__KEY": "x", "PATH": "/bin", "__X": "", "DB__": "x", "ADMIN__PATH": "12",
            ])
        #expect(configuration.database.path == "/other.db")
        #expect(configuration.database.schemaPaths == ["/schema"])
        #expect(configuration.api.bind == [Address("127.0.0.1:9")])
        #expect(configuration.api.bearerToken == "token")
        #expect(configuration.gossip.bootstrap == ["10.0.0.9:4001"])
        #expect(configuration.gossip.idleTimeout == .seconds(5))
        #expect(configuration.gossip.disableSegmentationOffload)
        #expect(configuration.log.format == .json)
        #expect(configuration.admin.socketPath == "12")
        #expect(configuration.warnings.isEmpty)
    }

    @Test("configuration: the environment alone is enough")
    func environmentOnly() throws {
        let configuration = try parse(
            "",
            [
                "DB__PATH": "/a.db", "API__BIND_ADDR": "[::1]:1", "GOSSIP__BIND_ADDR": "127.0.0.1:2", "GOSSIP__TLS__CERT_FILE": "c",
                "GOSSIP__TLS__KEY_FILE": "k", "GOSSIP__TLS__INSECURE": "true",
            ])
        #expect(configuration.gossip.security == .server(.init(certificate: "c", key: "k"), authority: nil))
    }

    @Test("configuration: a bad value from the environment names the variable")
    func badEnvironment() throws {
        #expect(
            error(Self.minimal, ["GOSSIP__MAX_MTU": "big"])
                == "environment variable GOSSIP__MAX_MTU: gossip.max_mtu is \"big\", but must be an integer from 1200 to 65000")
        #expect(
            try parse(Self.minimal, ["GOSSIP__MAXMTU": "1400", "DB__PATH__X": "1"]).warnings == [
                "environment variable DB__PATH__X has no effect: db.path is no section",
                "unknown key gossip.maxmtu (from environment variable GOSSIP__MAXMTU) is ignored; did you mean gossip.max_mtu?",
            ])
    }

    @Test("configuration: files that cannot be read say why")
    func files() async throws {
        func loading(_ file: String) -> String {
            do {
                return "accepted: \(try AgentConfiguration.load(file: file, environment: [:]))"
            } catch {
                return "\(error)"
            }
        }
        #expect(loading("/nonexistent/x.toml") == "cannot read the configuration /nonexistent/x.toml: No such file or directory")
        try await withTemporaryDirectory { directory in
            #expect(loading(directory) == "cannot read the configuration \(directory): it cannot be read")
            let file = "\(directory)/a.toml"
            makeFile(file, [0xFF, 0xFE])
            #expect(loading(file) == "cannot read the configuration \(file): it is not UTF-8 text")
            makeFile(file, Array(Self.minimal.utf8))
            #expect(loading(file).hasPrefix("accepted"))
        }
    }

    @Test("fuzz: mutated files are read or refused, never worse", arguments: 0..<8)
    func fuzz(seed: UInt64) {
        let sample = Array(
            (Self.minimal + "\nbootstrap = ['a:1', \"b\"]\nmax_mtu = 1_400\nx.y = 1.5e3\n[api.authz]\nbearer-token = \"\"\"t\"\"\"\n"
                + "[[a.b]]\nc = {d = [1, 2, {e = 2026-11-22T10:00:00Z}]}\n").utf8)
        var random = Random(seed: seed)
        var accepted = 0
        for _ in 0..<500 {
            let text = String(decoding: mutated(sample, &random), as: UTF8.self)
            do {
                _ = try AgentConfiguration.parse(text, file: "f", environment: [:])
                accepted += 1
            } catch {
                #expect(!error.description.contains("\n"), "one line: \(error.description)")
            }
        }
        #expect(accepted > 0)
    }
}

@Suite("Log filter")
struct LogFilterTests {
    @Test("log: a filter picks the level by the longest target")
    func levels() throws {
        let filter = try LogFilter("warn,patina=debug, patina.http=off ,patina.http.api=trace,x")
        #expect(filter.level(for: "other") == .warning)
        #expect(filter.level(for: "patina.agent") == .debug)
        #expect(filter.level(for: "patina.http") == nil)
        #expect(filter.level(for: "patina.http.api") == .trace)
        #expect(filter.level(for: "x") == .trace)
        #expect(try LogFilter("patina=info").level(for: "other") == .error)
        #expect(LogFilter().level(for: "any") == .info)
    }

    @Test(
        "log: what is no filter is refused with the part that is not understood",
        arguments: [
            ("", ""), (",", ","), ("debug,a=b=c", "a=b=c"), ("a=loud", "a=loud"), ("=info", "=info"), ("a b", "a b"),
        ])
    func malformed(text: String, directive: String) {
        #expect { try LogFilter(text) } throws: { ($0 as? LogFilterError)?.directive == directive }
    }

    @Test("log: a line of text, and one of JSON, whatever the message carries")
    func lines() throws {
        let lines = ScriptedBackend.Box(.init([[UInt8]]()))
        for format in AgentConfiguration.Log.Format.allCases {
            let log = AgentLog(filter: LogFilter(level: .info), format: format) { line in lines.mutex.withLock { $0.append(line) } }
            let logger = log.logger(label: "patina.test")
            logger.info("hello\n\u{1B}[31m", metadata: ["b": "2\r", "a": "1"])
            logger.debug("not shown")
            log.setFilter(LogFilter(level: .error))
            logger.info("not shown either")
            log.resetFilter()
        }
        let texts = lines.mutex.withLock { $0 }.map { String(decoding: $0, as: UTF8.self) }
        #expect(texts.count == 2)
        #expect(texts[0].hasSuffix("Z     INFO patina.test: hello\\u{a}\\u{1b}[31m a=1 b=2\\u{d}\n"))
        let json = try JSONValue(json: Array(texts[1].utf8).dropLast())
        #expect(json["level"]?.string == "INFO" && json["target"]?.string == "patina.test")
        #expect(json["fields"]?["message"]?.string == "hello\n\u{1B}[31m" && json["fields"]?["a"]?.string == "1")
    }

    @Test("log: the environment chooses the filter")
    func environment() throws {
        #expect(try AgentLog.filter(environment: ["RUST_LOG": "debug", "LOG_LEVEL": "error"]) == LogFilter(level: .debug))
        #expect(try AgentLog.filter(environment: ["LOG_LEVEL": "error"]) == LogFilter("error"))
        #expect(try AgentLog.filter(environment: [:]) == LogFilter(level: .info))
    }
}
