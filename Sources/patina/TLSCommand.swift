import ArgumentParser
import PatinaAgent
import PatinaProtocol

struct TLS: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tls", abstract: "Makes the certificates that agents know each other by.",
        discussion: """
            One authority for the cluster, then for each host a server certificate and a client certificate that it signs. All files \
            are PEM and are written to the working directory; private keys are readable by their owner only.
            """,
        subcommands: [TLSAuthority.self, TLSServer.self, TLSClient.self])
}

struct TLSAuthority: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca", abstract: "The authority that signs the certificates of a cluster.", subcommands: [TLSAuthorityGenerate.self])
}

struct TLSAuthorityGenerate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Writes ca_cert.pem and ca_key.pem: a new authority, valid for five years.",
        discussion: "Keep ca_key.pem off the hosts of the cluster: whoever has it can join.")

    @OptionGroup var replacing: ReplaceOption

    func run() throws {
        try certify { () throws(CertificateError) in try Certificates.generateAuthority(force: replacing.force) }
        Output.error("wrote \(Certificates.authorityCertificateFile) and \(Certificates.authorityKeyFile)")
    }
}

struct TLSServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server", abstract: "Certificates that agents show to those who call them.", subcommands: [TLSServerGenerate.self])
}

struct TLSServerGenerate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Writes server_cert.pem and server_key.pem: the server's side of one agent, valid for a year.",
        discussion: "The address is the one that other agents reach this one at; they refuse a certificate that is made for another.")

    @Argument(help: ArgumentHelp("The IP address of the agent.", valueName: "ip"))
    var address: String

    @OptionGroup var authority: AuthorityOptions
    @OptionGroup var replacing: ReplaceOption

    func validate() throws {
        let bracketed = address.contains(":") ? "[\(address)]:0" : "\(address):0"
        guard Address(bracketed) != nil else { throw ValidationError("'\(address)' is no IP address, such as 10.0.0.1 or 2001:db8::1.") }
    }

    func run() throws {
        try certify { () throws(CertificateError) in
            try Certificates.generateServer(hosts: [address], authority: authority.pair, force: replacing.force)
        }
        Output.error("wrote \(Certificates.serverCertificateFile) and \(Certificates.serverKeyFile) for \(address)")
    }
}

struct TLSClient: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client", abstract: "Certificates that agents show to those whom they call.", subcommands: [TLSClientGenerate.self])
}

struct TLSClientGenerate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Writes client_cert.pem and client_key.pem: the client's side of one agent, valid for a year.")

    @OptionGroup var authority: AuthorityOptions
    @OptionGroup var replacing: ReplaceOption

    func run() throws {
        try certify { () throws(CertificateError) in
            try Certificates.generateClient(authority: authority.pair, force: replacing.force)
        }
        Output.error("wrote \(Certificates.clientCertificateFile) and \(Certificates.clientKeyFile)")
    }
}

/// Where the authority is that signs.
struct AuthorityOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The authority's private key.", valueName: "path"))
    var caKey = Certificates.authorityKeyFile

    @Option(help: ArgumentHelp("The authority's certificate.", valueName: "path"))
    var caCert = Certificates.authorityCertificateFile

    var pair: AgentConfiguration.KeyPair { .init(certificate: caCert, key: caKey) }
}

struct ReplaceOption: ParsableArguments {
    @Flag(help: "Replace files that exist. Without it they are left alone, and the command fails.")
    var force = false
}

/// Runs one of the generators; what it throws becomes the message of a failed command.
private func certify(_ generate: () throws(CertificateError) -> Void) throws {
    do {
        try generate()
    } catch {
        throw Failure("\(error)")
    }
}
