/// A chart of lines over a common x axis, as inline SVG. Both axes begin at zero. Every line has a colour, a dash pattern and a marker, so
/// that it can be told from the others without colours.
struct LineChart {
    struct Line {
        var name: String
        /// Ascending in x; a nil interrupts the line.
        var points: [(x: Double, y: Double?)]
        /// True when a value holds until the next one.
        var isStep = false
    }

    struct Band {
        var name: String
        var from: Double
        var to: Double
    }

    var id: String
    var title: String
    var explanation = ""
    var xTitle: String
    var yTitle: String
    var xMaximum: Double
    /// Nil: as large as the largest value.
    var yMaximum: Double?
    var lines: [Line]
    var bands: [Band] = []

    private static let width = 760.0
    private static let height = 290.0
    private static let left = 74.0
    private static let right = 16.0
    private static let top = 22.0
    private static let bottom = 46.0
    /// Markers on each line.
    private static let markers = 9
    /// Bands that are drawn; further ones would only be a smear.
    static let bandsMaximum = 200

    /// Dash patterns by number of the line; colours and markers go with them in the style sheet.
    static let dashes = ["", "7 3", "2 3", "9 3 2 3"]

    var html: String {
        var text = "<figure id=\"\(id)\"><figcaption><h3>\(Markup.escape(title))</h3>"
        if !explanation.isEmpty { text += "<p>\(Markup.escape(explanation))</p>" }
        text += legend + "</figcaption>"
        guard lines.contains(where: { $0.points.contains { $0.y != nil } }) else {
            return text + "<p class=\"empty\">Nothing was measured.</p></figure>\n"
        }
        return text + svg + "</figure>\n"
    }

    private var legend: String {
        var text = "<ul class=\"legend\">"
        for (index, line) in lines.enumerated() {
            text += "<li><svg width=\"34\" height=\"12\" aria-hidden=\"true\">\(path("M1 6H33", index))\(marker(17, 6, index))</svg>"
            text += "\(Markup.escape(line.name))</li>"
        }
        if !bands.isEmpty {
            text += "<li><svg width=\"20\" height=\"12\"><rect width=\"20\" height=\"12\" class=\"band\"/></svg>a fault is active</li>"
        }
        return text + "</ul>"
    }

    private var largest: Double {
        let largest = lines.flatMap { $0.points.compactMap(\.y) }.max() ?? 0
        return yMaximum ?? (largest > 0 ? largest * 1.05 : 1)
    }

    private func x(_ value: Double) -> Double {
        Self.left + min(1, max(0, xMaximum > 0 ? value / xMaximum : 0)) * (Self.width - Self.left - Self.right)
    }

    private func y(_ value: Double, _ largest: Double) -> Double {
        Self.height - Self.bottom - min(1, value / largest) * (Self.height - Self.top - Self.bottom)
    }

    private func path(_ data: String, _ index: Int) -> String {
        let dash = Self.dashes[index % Self.dashes.count]
        return "<path d=\"\(data)\" class=\"line c\(index)\"\(dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")/>"
    }

    private func marker(_ x: Double, _ y: Double, _ index: Int) -> String {
        func p(_ dx: Double, _ dy: Double) -> String { "\(Markup.point(x + dx)) \(Markup.point(y + dy))" }
        let shape =
            switch index % 4 {
            case 0: "M\(p(-3.5, 0))a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z"
            case 1: "M\(p(-3.2, -3.2))h6.4v6.4h-6.4z"
            case 2: "M\(p(0, -4.2))L\(p(4.2, 3.4))L\(p(-4.2, 3.4))z"
            default: "M\(p(0, -4.5))L\(p(4.5, 0))L\(p(0, 4.5))L\(p(-4.5, 0))z"
            }
        return "<path d=\"\(shape)\" class=\"mark m\(index)\"/>"
    }

    private var svg: String {
        let largest = largest
        let (bottom, rightEdge) = (Self.height - Self.bottom, Self.width - Self.right)
        var text = "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" aria-label=\"\(Markup.escape(title))\">"
        text += bandMarks
        for tick in Markup.ticks(to: largest, count: 5) {
            let at = Markup.point(y(tick, largest))
            text += "<path d=\"M\(Int(Self.left)) \(at)H\(Int(rightEdge))\" class=\"grid\"/>"
            text +=
                "<text x=\"\(Int(Self.left) - 8)\" y=\"\(at)\" class=\"tick\" dy=\"4\" text-anchor=\"end\">\(Markup.number(tick))</text>"
        }
        for tick in Markup.ticks(to: xMaximum, count: 9) {
            let at = Markup.point(x(tick))
            text += "<path d=\"M\(at) \(Int(bottom))v5\" class=\"axis\"/>"
            text += "<text x=\"\(at)\" y=\"\(Int(bottom) + 19)\" class=\"tick\" text-anchor=\"middle\">\(Markup.number(tick))</text>"
        }
        text += "<path d=\"M\(Int(Self.left)) \(Int(Self.top))V\(Int(bottom))H\(Int(rightEdge))\" class=\"axis\"/>"
        text += "<text x=\"\(Int((Self.left + rightEdge) / 2))\" y=\"\(Int(Self.height) - 8)\" class=\"axistitle\" text-anchor=\"middle\">"
        text += "\(Markup.escape(xTitle))</text>"
        let middle = Int((Self.top + bottom) / 2)
        text += "<text x=\"14\" y=\"\(middle)\" class=\"axistitle\" text-anchor=\"middle\" transform=\"rotate(-90 14 \(middle))\">"
        text += "\(Markup.escape(yTitle))</text>"
        for (index, line) in lines.enumerated() { text += draw(line, index, largest) }
        return text + "</svg>"
    }

    private var bandMarks: String {
        var text = ""
        var free = 0.0
        for band in bands.prefix(Self.bandsMaximum) {
            let (from, to) = (x(band.from), max(x(band.from) + 1, x(band.to)))
            text += "<rect x=\"\(Markup.point(from))\" y=\"\(Int(Self.top))\" width=\"\(Markup.point(to - from))\" "
            text += "height=\"\(Markup.point(Self.height - Self.top - Self.bottom))\" class=\"band\"><title>\(Markup.escape(band.name)), "
            text += "\(Markup.number(band.from)) to \(Markup.number(band.to)) s</title></rect>"
            // A name only where it does not run into the one before.
            let length = Double(band.name.count) * 6.2
            if from >= free, from + length <= Self.width {
                text +=
                    "<text x=\"\(Markup.point(from + 2))\" y=\"\(Int(Self.top) - 5)\" class=\"bandname\">\(Markup.escape(band.name))</text>"
                free = from + length + 8
            }
        }
        return text
    }

    private func draw(_ line: Line, _ index: Int, _ largest: Double) -> String {
        var data = ""
        var isOpen = false
        var last: Double?
        for point in line.points {
            guard let value = point.y else {
                isOpen = false
                continue
            }
            let (px, py) = (Markup.point(x(point.x)), Markup.point(y(value, largest)))
            if !isOpen {
                data += "M\(px) \(py)"
                // A value between two gaps would otherwise be a line of no length, and invisible.
                data += "h0.1"
            } else if line.isStep, let last {
                data += "H\(px)"
                if value != last { data += "V\(py)" }
            } else {
                data += "L\(px) \(py)"
            }
            last = value
            isOpen = true
        }
        var text = path(data, index)
        let present = line.points.filter { $0.y != nil }
        let stride = max(1, present.count / Self.markers)
        // Each line begins with another point, so that markers of equal lines do not cover each other.
        var place = (stride * index) / max(1, lines.count)
        while place < present.count {
            if let value = present[place].y { text += marker(x(present[place].x), y(value, largest), index) }
            place += stride
        }
        return text
    }
}
