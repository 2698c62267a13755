import Foundation
import PatinaProtocol
import PatinaSim

/// What faults do to the files of agents' databases. An agent that runs must stand still meanwhile.
struct AgentDisk: Sendable {
    let files: AgentFiles

    /// What a machine would have after its power came back: the shared memory file is gone.
    private static let parts = DiskFault.File.allCases.map(\.suffix)
    private static let all = parts + ["-shm"]

    private func copy(_ node: Int, _ mark: UInt64) -> String { "\(files.folder(node))/copy-\(mark)" }

    /// Removes everything that a database is made of.
    func wipe(_ node: Int) {
        for suffix in Self.all { AgentFiles.remove(files.database(node) + suffix) }
    }

    /// Keeps a copy, byte by byte.
    func keep(_ node: Int, mark: UInt64) throws(LiveError) {
        for suffix in Self.parts where FileManager.default.fileExists(atPath: files.database(node) + suffix) {
            try AgentFiles.copy(files.database(node) + suffix, to: copy(node, mark) + suffix)
        }
    }

    /// Puts a copy back, byte by byte.
    func restore(_ node: Int, mark: UInt64, _ reservation: DiskFault.Reservation) throws(LiveError) {
        for suffix in Self.all {
            let isReservation = suffix == DiskFault.File.reservation.suffix
            if isReservation, reservation == .kept { continue }
            AgentFiles.remove(files.database(node) + suffix)
            guard !isReservation || reservation == .old, FileManager.default.fileExists(atPath: copy(node, mark) + suffix) else { continue }
            try AgentFiles.copy(copy(node, mark) + suffix, to: files.database(node) + suffix)
        }
    }

    /// Turns over random bits of a file, unless it is empty or not there.
    func flip(_ node: Int, _ file: DiskFault.File, bits: Int, using random: inout Random) throws(LiveError) {
        let path = files.database(node) + file.suffix
        guard var bytes = FileManager.default.contents(atPath: path), !bytes.isEmpty else { return }
        for _ in 0..<bits { bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8)) }
        do { try bytes.write(to: URL(filePath: path)) } catch {
            throw LiveError("cannot write \(path): \(error.localizedDescription)")
        }
    }
}
