/// Who sent what to whom around one moment: a lifeline for each node, time downwards, an arrow for each message (Lamport, 1978).
///
/// The distance between two rows is the same whatever time passed between them; the times stand at the left.
struct LamportDiagram {
    let recorder: RunRecorder
    /// What was violated, in a sentence; nil when nothing was.
    let violation: String?

    /// Lifelines and messages that are drawn.
    static let nodesMaximum = 10
    static let messagesMaximum = 48
    /// Of these, so many follow the moment.
    private static let following = 14

    private static let width = 760.0
    private static let left = 96.0
    private static let row = 15.0

    private var window: (moment: Int64, messages: [RecordedMessage], what: String)? {
        if let moment = recorder.violation.moment {
            return (moment, recorder.violation.kept, "the first violation")
        }
        if let moment = recorder.firstFault.moment { return (moment, recorder.firstFault.kept, "the first fault (no check was violated)") }
        guard let last = recorder.messages.last else { return nil }
        return (last.sent, recorder.messages, "the end of the recorded beginning (no fault, and no check was violated)")
    }

    /// The nodes that the violation's sentence names.
    private var named: [Int] {
        guard let violation else { return [] }
        return violation.split(separator: "node:").dropFirst().compactMap { Int($0.prefix { $0.isNumber }) }.filter { $0 < recorder.nodes }
    }

    private func choose(_ messages: [RecordedMessage], around moment: Int64) -> (nodes: [Int], messages: [RecordedMessage]) {
        let focus = named
        let candidates = focus.isEmpty ? messages : messages.filter { focus.contains($0.from) || focus.contains($0.to) }
        let before = candidates.filter { $0.sent <= moment }.suffix(Self.messagesMaximum - Self.following)
        let near = Array(before) + candidates.filter { $0.sent > moment }.prefix(Self.following)
        var counts = [Int](repeating: 0, count: recorder.nodes)
        for message in near { (counts[message.from], counts[message.to]) = (counts[message.from] + 1, counts[message.to] + 1) }
        for node in focus { counts[node] += 1_000_000 }
        let order = (0..<recorder.nodes).filter { counts[$0] > 0 }.sorted { (counts[$1], $0) < (counts[$0], $1) }
        let nodes = order.prefix(Self.nodesMaximum).sorted()
        return (nodes, near.filter { nodes.contains($0.from) && nodes.contains($0.to) })
    }

    var html: String {
        guard let window else {
            return "<figure id=\"lamport\" class=\"wide\"><h3>Messages</h3><p class=\"empty\">No message was sent.</p></figure>\n"
        }
        let (nodes, messages) = choose(window.messages, around: window.moment)
        var text = "<figure id=\"lamport\" class=\"wide\"><figcaption><h3>Messages around \(window.what)</h3>"
        if let violation { text += "<p>\(Markup.escape(violation))</p>" }
        text += "<p>\(messages.count) messages between \(nodes.count) nodes. Rows are in the order of events; times are not to scale.</p>"
        text += "<ul class=\"legend\">"
        for traffic in TrafficClass.allCases where traffic != .unknown || messages.contains(where: { $0.traffic == .unknown }) {
            text += "<li><svg width=\"34\" height=\"12\">\(stroke("M1 6H33", traffic))</svg>\(traffic.word)</li>"
        }
        text += "<li><svg width=\"20\" height=\"12\"><path d=\"M5 1l10 10m0 -10l-10 10\" class=\"lost\"/></svg>lost on the way</li>"
        text += "</ul></figcaption>"
        return text + svg(nodes, messages, moment: window.moment) + "</figure>\n"
    }

    private func stroke(_ data: String, _ traffic: TrafficClass, marker: Bool = false) -> String {
        let dash = LineChart.dashes[traffic.rawValue]
        return "<path d=\"\(data)\" class=\"arrow c\(traffic.rawValue)\"\(dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")"
            + (marker ? " marker-end=\"url(#tip\(traffic.rawValue))\"" : "") + "/>"
    }

    private func svg(_ nodes: [Int], _ messages: [RecordedMessage], moment: Int64) -> String {
        // Every end of an arrow, and the moment, has a row of its own.
        var times: [(at: Int64, message: Int, isArrival: Bool)] = [(moment, -1, false)]
        for (index, message) in messages.enumerated() {
            times.append((message.sent, index, false))
            if let arrival = message.arrival { times.append((arrival, index, true)) }
        }
        times.sort { ($0.at, $0.isArrival ? 1 : 0, $0.message) < ($1.at, $1.isArrival ? 1 : 0, $1.message) }
        let top = 34.0
        let height = top + Double(times.count) * Self.row + 12
        func x(_ node: Int) -> Double {
            let place = nodes.firstIndex(of: node) ?? 0
            let step = (Self.width - Self.left - 40) / Double(max(1, nodes.count - 1))
            return Self.left + 20 + Double(place) * (nodes.count == 1 ? 0 : step)
        }
        var rows: [Int: Double] = [:]
        var arrivals: [Int: Double] = [:]
        var text = "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(height))\" role=\"img\" aria-label=\"Lamport diagram\"><defs>"
        for traffic in TrafficClass.allCases {
            text += "<marker id=\"tip\(traffic.rawValue)\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
            text += "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" class=\"mark m\(traffic.rawValue)\"/></marker>"
        }
        text += "</defs>"
        for node in nodes {
            text += "<path d=\"M\(Markup.point(x(node))) \(Int(top) - 8)V\(Int(height) - 6)\" class=\"lifeline\"/>"
            text += "<text x=\"\(Markup.point(x(node)))\" y=\"16\" class=\"tick\" text-anchor=\"middle\">node \(node)</text>"
        }
        var lastLabel = -1_000.0
        for (index, entry) in times.enumerated() {
            let y = top + Double(index) * Self.row + 6
            if entry.message < 0 {
                text += "<path d=\"M\(Int(Self.left) - 4) \(Markup.point(y))H\(Int(Self.width) - 6)\" class=\"violation\"/>"
                text += "<text x=\"\(Int(Self.left) - 10)\" y=\"\(Markup.point(y + 4))\" class=\"tick strong\" text-anchor=\"end\">"
                text += "\(Self.time(entry.at))</text>"
                lastLabel = y
            } else {
                if entry.isArrival { arrivals[entry.message] = y } else { rows[entry.message] = y }
                if y - lastLabel >= 3 * Self.row {
                    text += "<text x=\"\(Int(Self.left) - 10)\" y=\"\(Markup.point(y + 4))\" class=\"tick\" text-anchor=\"end\">"
                    text += "\(Self.time(entry.at))</text>"
                    lastLabel = y
                }
            }
        }
        for (index, message) in messages.enumerated() {
            guard let from = rows[index] else { continue }
            let title =
                "<title>\(message.traffic.word), \(message.transport.word), \(message.bytes) bytes, node \(message.from) to node "
                + "\(message.to), sent \(Self.time(message.sent))\(Self.end(of: message))</title>"
            let (start, end) = (x(message.from), x(message.to))
            text += "<g>\(title)"
            if let to = arrivals[index] {
                text += stroke(
                    "M\(Markup.point(start)) \(Markup.point(from))L\(Markup.point(end)) \(Markup.point(to))", message.traffic, marker: true)
            } else {
                let (middle, to) = ((start + end) / 2, from + 9)
                text += stroke("M\(Markup.point(start)) \(Markup.point(from))L\(Markup.point(middle)) \(Markup.point(to))", message.traffic)
                text += "<path d=\"M\(Markup.point(middle - 4)) \(Markup.point(to - 4))l8 8m0 -8l-8 8\" class=\"lost\"/>"
            }
            text +=
                "<circle cx=\"\(Markup.point(start))\" cy=\"\(Markup.point(from))\" r=\"2.4\" "
            text += "class=\"mark m\(message.traffic.rawValue)\"/></g>"
        }
        return text + "</svg>"
    }

    private static func end(of message: RecordedMessage) -> String {
        message.arrival.map { ", arrived \(time($0))" } ?? ", lost"
    }

    private static func time(_ nanoseconds: Int64) -> String {
        let microseconds = nanoseconds / 1_000
        let fraction = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - fraction.utf8.count) + fraction + " s"
    }
}
