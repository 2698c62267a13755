/// Why an agent did not start, or had to end. Each description is one line that names the key, the place and the cause.
public enum AgentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An address or socket path cannot be listened on.
    case cannotListen(key: String, address: String, reason: String)
    /// The database cannot be opened, or is none.
    case database(path: String, reason: String)
    /// A schema file cannot be read or applied.
    case schema(reason: String)
    /// What the configuration says does not work, although each value is of the right form.
    case configuration(key: String, reason: String)
    /// The storage broke while the agent ran (disk full, I/O error, corruption).
    case storageFailed(path: String, reason: String)
    /// The agent did not end in time and was cut short.
    case shutdownTimedOut

    public var description: String {
        switch self {
        case .cannotListen(let key, let address, let reason): "\(key): cannot listen on \(address): \(reason)"
        case .database(let path, let reason): "db.path: cannot open the database \(path): \(reason)"
        case .schema(let reason): "db.schema_paths: \(reason)"
        case .configuration(let key, let reason): "\(key): \(reason)"
        case .storageFailed(let path, let reason): "the database \(path) failed: \(reason)"
        case .shutdownTimedOut: "the agent did not end within 5 seconds and was cut short"
        }
    }
}
