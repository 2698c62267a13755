/// A row for each fault and each machine, over the time of the run: up, down and paused, and when which fault was active.
struct TimelineChart {
    let recorder: RunRecorder
    /// Names of regions by node; empty when there are none.
    let regions: [String]

    /// Rows of machines and of faults that are drawn.
    static let nodesMaximum = 64
    static let faultsMaximum = 16

    private static let width = 760.0
    private static let left = 110.0
    private static let right = 16.0
    private static let row = 18.0
    private static let top = 6.0

    private var seconds: Double { Double(recorder.duration) / 1e9 }

    private func x(_ nanoseconds: Int64) -> Double {
        Self.left + Double(nanoseconds) / Double(max(1, recorder.duration)) * (Self.width - Self.left - Self.right)
    }

    var html: String {
        // Machines whose state changes are the interesting ones: they come first where not all have room.
        var changes = [Int](repeating: 0, count: recorder.nodes)
        for change in recorder.changes { changes[change.node] += 1 }
        let order = (0..<recorder.nodes).sorted { (changes[$1], $0) < (changes[$0], $1) }
        let shown = order.prefix(Self.nodesMaximum).sorted()
        var ids: [String] = []
        for band in recorder.bands where !ids.contains(band.id) { ids.append(band.id) }
        let rows = min(ids.count, Self.faultsMaximum) + shown.count
        let height = Self.top + Double(rows) * Self.row + 44
        var text = "<figure id=\"timeline\" class=\"wide\"><figcaption><h3>Timeline of each node</h3>"
        if shown.count < recorder.nodes { text += "<p>\(shown.count) of \(recorder.nodes) nodes: those that changed most often.</p>" }
        if ids.count > Self.faultsMaximum { text += "<p>\(Self.faultsMaximum) of \(ids.count) faults.</p>" }
        text += """
            <ul class="legend"><li><svg width="24" height="12"><rect y="3" width="24" height="6" class="up"/></svg>up</li>\
            <li><svg width="24" height="12"><rect y="1" width="24" height="10" class="down"/></svg>down</li>\
            <li><svg width="24" height="12"><rect y="2" width="24" height="8" class="paused"/></svg>paused</li>\
            <li><svg width="24" height="12"><rect width="24" height="12" class="fault"/></svg>fault</li>
            """
        if recorder.violation.moment != nil {
            text += "<li><svg width=\"12\" height=\"14\"><path d=\"M6 0V14\" class=\"violation\"/></svg>first violation</li>"
        }
        text += "</ul></figcaption>"
        text += "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(height))\" role=\"img\" aria-label=\"Timeline of each node\">"
        var y = Self.top
        for id in ids.prefix(Self.faultsMaximum) {
            text += label(id, y)
            for band in recorder.bands where band.id == id {
                text += bar("fault", from: band.start, to: band.end ?? recorder.duration, y: y + 2, height: Self.row - 5, id)
            }
            y += Self.row
        }
        let segments = recorder.segments
        for node in shown {
            let region = regions.isEmpty ? "" : " \(regions[node])"
            text += label("node \(node)\(region)", y)
            for segment in segments where segment.node == node {
                switch segment.state {
                case .up: text += bar("up", from: segment.start, to: segment.end, y: y + 6, height: 6, "up")
                case .paused: text += bar("paused", from: segment.start, to: segment.end, y: y + 4, height: 10, "paused")
                case .down: text += bar("down", from: segment.start, to: segment.end, y: y + 3, height: 12, "down")
                }
            }
            y += Self.row
        }
        if let violation = recorder.violation.moment {
            text +=
                "<path d=\"M\(Markup.point(x(violation))) \(Int(Self.top))V\(Int(y))\" class=\"violation\">"
            text += "<title>first violation</title></path>"
        }
        for tick in Markup.ticks(to: seconds, count: 9) {
            let at = Markup.point(x(Int64(tick * 1e9)))
            text += "<path d=\"M\(at) \(Int(y) + 2)v5\" class=\"axis\"/>"
            text += "<text x=\"\(at)\" y=\"\(Int(y) + 20)\" class=\"tick\" text-anchor=\"middle\">\(Markup.number(tick))</text>"
        }
        text += "<path d=\"M\(Int(Self.left)) \(Int(y) + 2)H\(Int(Self.width - Self.right))\" class=\"axis\"/>"
        text += "<text x=\"\(Int((Self.left + Self.width) / 2))\" y=\"\(Int(height) - 4)\" class=\"axistitle\" text-anchor=\"middle\">"
        return text + "time (s)</text></svg></figure>\n"
    }

    private func label(_ text: String, _ y: Double) -> String {
        "<text x=\"\(Int(Self.left) - 8)\" y=\"\(Markup.point(y + 13))\" class=\"tick\" text-anchor=\"end\">\(Markup.escape(text))</text>"
    }

    private func bar(_ style: String, from: Int64, to: Int64, y: Double, height: Double, _ name: String) -> String {
        let start = x(from)
        return "<rect x=\"\(Markup.point(start))\" y=\"\(Markup.point(y))\" width=\"\(Markup.point(max(1, x(to) - start)))\" "
            + "height=\"\(Markup.point(height))\" class=\"\(style)\"><title>\(Markup.escape(name)), "
            + "\(Markup.number(Double(from) / 1e9)) to "
            + "\(Markup.number(Double(to) / 1e9)) s</title></rect>"
    }
}
