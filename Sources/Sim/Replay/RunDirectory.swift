import PatinaProtocol

/// What `--out` leaves behind: `scenario.toml`, `report.json`, and what was recorded.
struct RunDirectory {
    let path: String
    let scenario: Scenario
    let seed: UInt64
    let traceHash: String
    /// Nil when the run was made by a build that kept none, or the file was deleted.
    let digests: DigestList?

    /// The scenario file that a path means, and the seed: that of the run where the path is the directory of one.
    static func origin(of path: String, seed: UInt64?) throws(ScenarioError) -> (file: String, seed: UInt64?) {
        guard FileAccess.isDirectory(path) else { return (path, seed) }
        let file = "\(path)/scenario.toml"
        if let seed { return (file, seed) }
        // A run that ended its process left a scenario, whose only seed is the one.
        guard FileAccess.exists("\(path)/report.json") else { return (file, nil) }
        return (file, try report(of: path).seed)
    }

    private static func report(of path: String) throws(ScenarioError) -> (seed: UInt64, traceHash: String, hash: String) {
        let file = "\(path)/report.json"
        do {
            let document = try JSONDocument.parse(try FileAccess.read(file))
            return (
                try document.required("seed").whole(), try document.required("trace_hash").string(),
                try document.required("scenario_hash").string()
            )
        } catch let failure as FileAccess.Failure {
            throw ScenarioError(file: file, line: nil, message: "the report cannot be read: \(failure.reason)")
        } catch {
            throw ScenarioError(file: file, line: nil, message: "no report of a run: \(error)")
        }
    }

    init(_ path: String) throws(ScenarioError) {
        let report = try Self.report(of: path)
        self.path = path
        seed = report.seed
        traceHash = report.traceHash
        scenario = try Scenario.load(path: "\(path)/scenario.toml")
        guard scenario.hash == report.hash else {
            throw ScenarioError(
                file: "\(path)/scenario.toml", line: nil,
                message: "the scenario is not the one of report.json: its hash is \(scenario.hash), the report says \(report.hash)")
        }
        let file = "\(path)/trace.digests"
        guard FileAccess.exists(file) else {
            digests = nil
            return
        }
        guard let bytes = try? FileAccess.readBytes(file), let list = DigestList(bytes: bytes) else {
            throw ScenarioError(file: file, line: nil, message: "the list of digests is damaged")
        }
        digests = list
    }
}
