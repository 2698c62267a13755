/// Why a certificate was not made. Each description is one line that says what is wrong and what to do.
public enum CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A file is there already, and must not be overwritten.
    case exists(path: String)
    case unreadable(path: String, reason: String)
    case unwritable(path: String, reason: String)
    /// The file of the authority's certificate or key is not what it should be.
    case malformed(path: String, reason: String)
    /// The authority's key does not belong to its certificate.
    case mismatch(certificate: String, key: String)
    /// What a server certificate is asked to name is neither an IP address nor a DNS name.
    case host(String)
    /// A server certificate must name something.
    case noHost

    public var description: String {
        switch self {
        case .exists(let path): "\(path) exists already; give --force to replace it, or another path"
        case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
        case .unwritable(let path, let reason): "cannot write \(path): \(reason)"
        case .malformed(let path, let reason): "\(path) cannot be used: \(reason)"
        case .mismatch(let certificate, let key): "the key \(key) does not belong to the certificate \(certificate)"
        case .host(let text): "\"\(text)\" is neither an IP address nor a DNS name"
        case .noHost: "a server certificate needs at least one IP address or DNS name"
        }
    }
}
