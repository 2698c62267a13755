import PatinaProtocol

extension Comparison {
    /// One JSON object; `docs/metrics.md` describes it.
    public var json: String {
        var writer = JSONWriter()
        writer.object { top in
            for (name, side) in [("a", left), ("b", right)] {
                top.key(name)
                top.object {
                    $0.field("name", side.name)
                    $0.field("engine", side.engine)
                    $0.field("runs", number: "\(side.runs.count)")
                }
            }
            for distance in distances {
                let name = distance.name.replacingDots
                top.field("ks_\(name)", Self.rounded(distance.ks))
                top.field("ks_\(name)_ci95", number: Self.json(distance.ksInterval))
                top.field("wasserstein_\(name)_ms", Self.rounded(distance.wassersteinMilliseconds))
                top.field("wasserstein_\(name)_ms_ci95", number: Self.json(distance.wassersteinInterval))
                if let floor = distance.floorKS { top.field("floor_ks_\(name)", Self.rounded(floor)) }
                if let floor = distance.floorWassersteinMilliseconds { top.field("floor_wasserstein_\(name)_ms", Self.rounded(floor)) }
            }
            top.array("metrics", of: metrics) { row, writer in
                writer.object {
                    $0.field("name", row.name)
                    $0.field("a", Self.rounded(row.left))
                    $0.field("b", Self.rounded(row.right))
                    $0.field("delta", Self.rounded(row.delta))
                    $0.field("percent", row.percent.map(Self.rounded))
                    $0.field("ci95", number: Self.json(row.interval))
                }
            }
            top.field("warnings", number: "[\(warnings.map(JSONWriter.quote).joined(separator: ", "))]")
        }
        return writer.text + "\n"
    }

    private static func rounded(_ value: Double) -> Double { (value * 1_000_000).rounded() / 1_000_000 }

    private static func json(_ range: ClosedRange<Double>?) -> String {
        range.map { "[\(JSONWriter.number(rounded($0.lowerBound))), \(JSONWriter.number(rounded($0.upperBound)))]" } ?? "null"
    }

    /// Cells of the tables: the header first.
    public var distanceCells: [[String]] {
        var rows = [["distribution", "KS", "95%", "Wasserstein", "95%"]]
        if floor != nil { rows[0] += ["floor KS", "floor Wasserstein"] }
        for row in distances {
            var cells = [
                row.name, Markup.number(row.ks), Self.text(row.ksInterval), "\(Markup.number(row.wassersteinMilliseconds)) ms",
                Self.text(row.wassersteinInterval),
            ]
            if floor != nil {
                cells += [row.floorKS.map(Markup.number) ?? "–", row.floorWassersteinMilliseconds.map { "\(Markup.number($0)) ms" } ?? "–"]
            }
            rows.append(cells)
        }
        return rows
    }

    public var metricCells: [[String]] {
        [["metric", "a", "b", "delta", "%", "95% of the delta", ""]]
            + metrics.map { row in
                [
                    row.name, Markup.number(row.left), Markup.number(row.right), Markup.number(row.delta),
                    row.percent.map { Markup.number(($0 * 10).rounded() / 10) } ?? "–", Self.text(row.interval),
                    row.isDifferent ? "differs" : "",
                ]
            }
    }

    private static func text(_ range: ClosedRange<Double>?) -> String {
        range.map { "\(Markup.number($0.lowerBound)) … \(Markup.number($0.upperBound))" } ?? "–"
    }

    /// What is compared, in a sentence.
    public var title: String {
        "a: \(left.name) (\(left.engine), \(left.runs.count) runs)   b: \(right.name) (\(right.engine), \(right.runs.count) runs)"
            + (floor.map { "   floor: b against \($0.name) (\($0.engine), \($0.runs.count) runs)" } ?? "")
    }

    /// A page like that of a run: one file, nothing from elsewhere.
    public var html: String {
        """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(Markup.escape(left.name)) and \(Markup.escape(right.name))</title>
        <style>
        \(Stylesheet.text)
        </style></head><body>
        \(Stylesheet.patterns)
        <h1>Comparison</h1><p>\(Markup.escape(title))</p>
        \(warnings.map { "<p>⚠ \(Markup.escape($0))</p>" }.joined(separator: "\n"))
        <h2>Distributions</h2>
        \(table(distanceCells, id: "distances"))
        <div class="charts">\(charts)</div>
        <h2>Numbers</h2>
        \(table(metricCells, id: "metrics"))
        </body></html>

        """
    }

    private func table(_ cells: [[String]], id: String) -> String {
        let rows = cells.enumerated().map { number, row in
            let tag = number == 0 ? "th" : "td"
            return "<tr>"
                + row.enumerated().map { "<\(tag)\($0.offset > 0 ? " class=\"number\"" : "")>\(Markup.escape($0.element))</\(tag)>" }
                .joined()
                + "</tr>"
        }
        return "<table id=\"\(id)\">\(rows.joined(separator: "\n"))</table>"
    }

    private var charts: String {
        let sides = [("a: \(left.name)", left), ("b: \(right.name)", right)] + (floor.map { [("floor: \($0.name)", $0)] } ?? [])
        return distances.map { row in
            let pooled = sides.map { name, side in
                (
                    name,
                    MetricsDocument.Distribution(
                        name: row.name, buckets: DistributionDistance.pool(side.runs.compactMap { $0.distribution(row.name)?.buckets }))
                )
            }.filter { $0.1.count > 0 }
            let end = pooled.map { DistributionChart.percentile($0.1, 990) }.max() ?? 1
            return LineChart(
                id: "cdf-\(row.name.replacingDots)", title: row.name, explanation: "The axis ends at the wider side's 99th percentile.",
                xTitle: "duration (ms)", yTitle: "share (%)", xMaximum: end, yMaximum: 105,
                lines: pooled.map { LineChart.Line(name: $0.0, points: DistributionChart.curve($0.1, to: end), isStep: true) }
            ).html
        }.joined()
    }
}

extension String {
    /// For names of JSON fields and HTML ids.
    fileprivate var replacingDots: String { split(separator: ".").joined(separator: "_") }
}
