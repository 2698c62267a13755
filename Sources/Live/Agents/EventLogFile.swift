import Foundation

/// Where an agent puts its event log.
enum EventLogFile {
    /// The only log in a folder that an agent was told to record to; a name that nobody has when there is none.
    static func find(in folder: String) -> String {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        return "\(folder)/\(names.first ?? "no event log")"
    }
}
