/// What `patina compare` does: reads two results and puts them side by side.
public enum CompareCommand {
    /// Runs that one side may have.
    static let runsMaximum = 10_000

    /// - Parameters:
    ///   - left, right: each a `metrics.json`, the directory of a run, or a directory of such directories.
    ///   - floor: another result like `right`: how far two of the same kind are apart.
    /// - Throws: when one of them holds no run, or a file is damaged.
    public static func run(_ left: String, _ right: String, floor: String? = nil) throws(ScenarioError) -> Comparison {
        let sides = (try side(left), try side(right))
        let third: Comparison.Side? = if let floor { try side(floor) } else { nil }
        do {
            return try Comparison(sides.0, sides.1, floor: third)
        } catch {
            throw ScenarioError(file: left, line: nil, message: error.description)
        }
    }

    private static func side(_ path: String) throws(ScenarioError) -> Comparison.Side {
        var files: [String] = []
        if !FileAccess.isDirectory(path) {
            files = [path]
        } else if FileAccess.exists("\(path)/metrics.json") {
            files = ["\(path)/metrics.json"]
        } else {
            files = FileAccess.names(in: path).map { "\(path)/\($0)/metrics.json" }.filter(FileAccess.exists)
        }
        guard !files.isEmpty, files.count <= runsMaximum else {
            throw ScenarioError(
                file: path, line: nil,
                message: files.isEmpty
                    ? "there is no metrics.json here or one folder below; patina sim run --out makes one" : "more than \(runsMaximum) runs")
        }
        var runs: [MetricsDocument] = []
        for file in files {
            do {
                runs.append(try MetricsDocument(json: try FileAccess.read(file)))
            } catch let failure as FileAccess.Failure {
                throw ScenarioError(file: file, line: nil, message: "the metrics cannot be read: \(failure.reason)")
            } catch {
                throw ScenarioError(file: file, line: nil, message: "no metrics of a run: \(error)")
            }
        }
        return Comparison.Side(name: path, runs: runs)
    }
}
