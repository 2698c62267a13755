import Foundation
import PatinaProtocol
import PatinaTOML

/// Where one node of a development cluster keeps its files, and where it listens.
public struct DevelopmentNode: Hashable, Sendable {
    /// `node-1`, `node-2`, …
    public let name: String
    public let directory: String
    /// The HTTP interface.
    public let api: Address
    /// Where the other nodes reach it.
    public let gossip: Address

    public var configuration: String { directory + "/config.toml" }
    public var database: String { directory + "/patina.db" }
    public var adminSocket: String { directory + "/admin.sock" }
    public var log: String { directory + "/agent.log" }
}

/// The files of a development cluster: certificates, schema, and one configuration a node.
struct DevelopmentLayout: Sendable {
    let root: String
    /// True when the folder was made for this run and goes with it.
    let isTemporary: Bool
    let nodes: [DevelopmentNode]

    /// The schema that a cluster gets when it is given none.
    static let exampleSchema = """
        CREATE TABLE notes (
            id INTEGER NOT NULL PRIMARY KEY,
            text TEXT NOT NULL DEFAULT '',
            author TEXT NOT NULL DEFAULT ''
        );

        """

    /// Makes the folder, or takes over one of an earlier run: its databases and certificates stay, ports are chosen anew.
    init(_ configuration: DevelopmentClusterConfiguration) throws {
        let files = FileManager.default
        if let directory = configuration.directory {
            root = URL(filePath: directory).path(percentEncoded: false)
            isTemporary = false
            try Self.makeDirectory(root)
        } else {
            isTemporary = true
            root = files.temporaryDirectory.appending(path: "patina-dev-\(ProcessInfo.processInfo.processIdentifier)").path(
                percentEncoded: false)
            try Self.makeDirectory(root)
        }
        do {
            let ports = try FreePorts.find(2 * configuration.nodes)
            let root = root
            nodes = (0..<configuration.nodes).map { index in
                DevelopmentNode(
                    name: "node-\(index + 1)", directory: "\(root)/node-\(index + 1)", api: Self.loopback(ports[2 * index]),
                    gossip: Self.loopback(ports[2 * index + 1]))
            }
            try writeFiles(schema: configuration.schema)
        } catch {
            if isTemporary { try? files.removeItem(atPath: root) }
            throw error
        }
    }

    private static func loopback(_ port: UInt16) -> Address { Address(ipv4: 0x7F00_0001, port: port) }

    /// Removes the folder when it was made for this run.
    func remove() {
        if isTemporary { try? FileManager.default.removeItem(atPath: root) }
    }

    private func writeFiles(schema: String?) throws {
        let files = FileManager.default
        // Longer paths than this cannot be bound as a Unix socket.
        guard nodes.allSatisfy({ $0.adminSocket.utf8.count <= 100 }) else {
            throw DevelopmentError("the path \(root) is too long for the admin sockets below it: choose a shorter --directory")
        }
        let schemaPath =
            try schema.map { path -> String in
                guard files.fileExists(atPath: path) else { throw DevelopmentError("there is no schema file or folder \(path)") }
                return URL(filePath: path).path(percentEncoded: false)
            } ?? "\(root)/schema.sql"
        if schema == nil, !files.fileExists(atPath: schemaPath) { try write(Self.exampleSchema, to: schemaPath) }

        let authority = try makeAuthority()
        for node in nodes {
            try Self.makeDirectory(node.directory)
            try makeCertificates(of: node, authority)
            try write(configurationText(for: node, schema: schemaPath), to: node.configuration)
        }
    }

    /// The authority of this cluster; one of an earlier run is kept.
    private func makeAuthority() throws(CertificateError) -> AgentConfiguration.KeyPair {
        let pair = AgentConfiguration.KeyPair(
            certificate: "\(root)/\(Certificates.authorityCertificateFile)", key: "\(root)/\(Certificates.authorityKeyFile)")
        if !FileManager.default.fileExists(atPath: pair.certificate) {
            try Certificates.generateAuthority(certificate: pair.certificate, key: pair.key)
        }
        return pair
    }

    /// New certificates at every start: those of an earlier run may have expired.
    private func makeCertificates(of node: DevelopmentNode, _ authority: AgentConfiguration.KeyPair) throws(CertificateError) {
        let folder = node.directory
        try Certificates.generateServer(
            hosts: ["127.0.0.1"], authority: authority, certificate: "\(folder)/\(Certificates.serverCertificateFile)",
            key: "\(folder)/\(Certificates.serverKeyFile)", force: true)
        try Certificates.generateClient(
            authority: authority, certificate: "\(folder)/\(Certificates.clientCertificateFile)",
            key: "\(folder)/\(Certificates.clientKeyFile)", force: true)
    }

    private func configurationText(for node: DevelopmentNode, schema: String) -> String {
        let bootstrap = nodes.filter { $0 != node }.prefix(3).map { TOMLText.quote($0.gossip.description) }.joined(separator: ", ")
        return """
            [db]
            path = \(TOMLText.quote(node.database))
            schema_paths = [\(TOMLText.quote(schema))]

            [api]
            bind_addr = \(TOMLText.quote(node.api.description))

            [admin]
            uds_path = \(TOMLText.quote(node.adminSocket))

            [log]
            colors = false

            [gossip]
            bind_addr = \(TOMLText.quote(node.gossip.description))
            bootstrap = [\(bootstrap)]

            [gossip.tls]
            cert_file = \(TOMLText.quote(node.directory + "/server_cert.pem"))
            key_file = \(TOMLText.quote(node.directory + "/server_key.pem"))
            ca_file = \(TOMLText.quote(root + "/ca_cert.pem"))

            [gossip.tls.client]
            cert_file = \(TOMLText.quote(node.directory + "/client_cert.pem"))
            key_file = \(TOMLText.quote(node.directory + "/client_key.pem"))

            """
    }

    private func write(_ text: String, to path: String) throws {
        do { try text.write(toFile: path, atomically: true, encoding: .utf8) } catch {
            throw DevelopmentError("cannot write \(path): \(error.localizedDescription)")
        }
    }

    private static func makeDirectory(_ path: String) throws {
        do { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) } catch {
            throw DevelopmentError("cannot make the folder \(path): \(error.localizedDescription)")
        }
    }
}
