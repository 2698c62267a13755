import Foundation

/// Tells systemd how the agent is (sd_notify(3)): by datagrams to the socket that `NOTIFY_SOCKET` names. Does nothing
/// without it, and never fails: an agent that cannot tell still works.
struct SystemdNotifier: Sendable {
    private let path: String?
    /// How often the watchdog wants to hear of us; nil when there is none.
    let watchdogPeriod: Duration?

    init(environment: [String: String]) {
        let path = environment["NOTIFY_SOCKET"] ?? ""
        self.path = path.hasPrefix("/") || path.hasPrefix("@") ? path : nil
        let isForUs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        // Twice as often as the watchdog bites.
        watchdogPeriod =
            isForUs
            ? environment["WATCHDOG_USEC"].flatMap(Int64.init).flatMap { $0 > 1 ? .microseconds($0 / 2) : nil } : nil
    }

    /// - Parameter state: lines such as `READY=1`.
    func send(_ state: String) {
        guard let path else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // An abstract socket: its name starts with a zero byte.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path).map { $0 + bytes.count } ?? MemoryLayout<sockaddr_un>.size)
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let message = Array(state.utf8)
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                _ = message.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL), raw, length) }
            }
        }
    }
}
