import Foundation
import PatinaAgent
import PatinaTOML

/// The certificates of a run: an authority of its own, and for each agent what it shows as a server and as a client, so that both sides
/// of a connection are verified. For agents whose certificates are to expire there are expired ones besides.
struct AgentCertificates: Sendable {
    let files: AgentFiles

    private enum State: String { case valid, expired }

    /// How long ago the expired ones ceased to be valid: clocks of one machine do not differ by that.
    private static let expiredSince: TimeInterval = 60
    private static let names = [
        Certificates.serverCertificateFile, Certificates.serverKeyFile, Certificates.clientCertificateFile, Certificates.clientKeyFile,
    ]

    private var authorityFolder: String { files.root + "/authority" }

    /// Makes them all.
    ///
    /// - Parameter expiring: the agents that get expired ones, too.
    func make(_ addresses: LoopbackPlan, expiring: Set<Int>) throws(LiveError) {
        try AgentFiles.makeDirectory(authorityFolder)
        let authority = AgentConfiguration.KeyPair(
            certificate: "\(authorityFolder)/\(Certificates.authorityCertificateFile)",
            key: "\(authorityFolder)/\(Certificates.authorityKeyFile)")
        do {
            try Certificates.generateAuthority(certificate: authority.certificate, key: authority.key)
            for node in 0..<files.nodes {
                for state in expiring.contains(node) ? [State.valid, .expired] : [.valid] {
                    let folder = folder(node, state)
                    try AgentFiles.makeDirectory(folder)
                    let end = state == .expired ? Date(timeIntervalSinceNow: -Self.expiredSince) : nil
                    // Peers compare the address that they call.
                    let host = addresses.advertised(node).description.split(separator: ":")[0]
                    try Certificates.generateServer(
                        hosts: [String(host)], authority: authority, certificate: "\(folder)/\(Certificates.serverCertificateFile)",
                        key: "\(folder)/\(Certificates.serverKeyFile)", validUntil: end)
                    try Certificates.generateClient(
                        authority: authority, certificate: "\(folder)/\(Certificates.clientCertificateFile)",
                        key: "\(folder)/\(Certificates.clientKeyFile)", validUntil: end)
                }
                try install(.valid, at: node)
            }
        } catch let error as LiveError {
            throw error
        } catch {
            throw LiveError("the agents' certificates cannot be made: \(error)")
        }
    }

    /// The next process of the agent shows expired certificates.
    func expire(_ node: Int) throws(LiveError) { try install(.expired, at: node) }

    /// The next process of the agent shows valid ones again.
    func renew(_ node: Int) throws(LiveError) { try install(.valid, at: node) }

    /// The section of an agent's configuration.
    func configuration(_ node: Int) -> String {
        let folder = folder(node)
        return """
            [gossip.tls]
            cert_file = \(TOMLText.quote("\(folder)/\(Certificates.serverCertificateFile)"))
            key_file = \(TOMLText.quote("\(folder)/\(Certificates.serverKeyFile)"))
            ca_file = \(TOMLText.quote("\(authorityFolder)/\(Certificates.authorityCertificateFile)"))

            [gossip.tls.client]
            cert_file = \(TOMLText.quote("\(folder)/\(Certificates.clientCertificateFile)"))
            key_file = \(TOMLText.quote("\(folder)/\(Certificates.clientKeyFile)"))

            """
    }

    /// Where an agent reads them.
    private func folder(_ node: Int) -> String { files.folder(node) + "/tls" }
    private func folder(_ node: Int, _ state: State) -> String { "\(folder(node))/\(state.rawValue)" }

    private func install(_ state: State, at node: Int) throws(LiveError) {
        for name in Self.names { try AgentFiles.copy("\(folder(node, state))/\(name)", to: "\(folder(node))/\(name)") }
    }
}
