import Logging

/// Which messages are logged: a level, and exceptions for parts of the program.
///
/// The form is that of `RUST_LOG`: directives separated by commas, each a level (`debug`), or a target and a level
/// (`patina.http=debug`), or a target alone (everything of it). A target is the start of a logger's label; the longest wins.
public struct LogFilter: Hashable, Sendable {
    /// Directives in one filter at most.
    public static let directiveLimit = 64

    /// For targets that are not named; nil when nothing of them is logged.
    public private(set) var level: Logger.Level?
    /// Longest target first.
    private var targets: [Target] = []

    private struct Target: Hashable, Sendable {
        let prefix: String
        let level: Logger.Level?
    }

    /// Everything from `level` up.
    public init(level: Logger.Level = .info) { self.level = level }

    /// Parses a filter. The error names the directive that is not understood.
    public init(_ text: String) throws(LogFilterError) {
        level = .error
        var sawLevel = false
        let directives = text.split(separator: ",").map { $0.trimmingSpaces() }.filter { !$0.isEmpty }
        guard !directives.isEmpty else { throw LogFilterError(directive: text) }
        guard directives.count <= Self.directiveLimit else { throw LogFilterError(directive: directives[Self.directiveLimit]) }
        for directive in directives {
            let parts = directive.split(separator: "=", omittingEmptySubsequences: false)
            switch parts.count {
            case 1:
                if let level = Self.level(named: directive) {
                    self.level = level
                    sawLevel = true
                } else if directive.utf8.allSatisfy(Self.isTargetByte) {
                    targets.append(Target(prefix: directive, level: .trace))
                } else {
                    throw LogFilterError(directive: directive)
                }
            case 2:
                guard !parts[0].isEmpty, parts[0].utf8.allSatisfy(Self.isTargetByte), let level = Self.level(named: String(parts[1])) else {
                    throw LogFilterError(directive: directive)
                }
                targets.append(Target(prefix: String(parts[0]), level: level))
            default:
                throw LogFilterError(directive: directive)
            }
        }
        if !sawLevel, targets.isEmpty { level = .info }
        targets.sort { $0.prefix.utf8.count != $1.prefix.utf8.count ? $0.prefix.utf8.count > $1.prefix.utf8.count : $0.prefix < $1.prefix }
    }

    /// The level of a logger with this label; nil when it logs nothing.
    public func level(for label: String) -> Logger.Level? {
        for target in targets where label.hasPrefix(target.prefix) { return target.level }
        return level
    }

    /// The doubly optional result tells "off" from "no such level".
    private static func level(named name: String) -> Logger.Level?? {
        switch name.lowercased() {
        case "trace": .some(.trace)
        case "debug": .some(.debug)
        case "info": .some(.info)
        case "notice": .some(.notice)
        case "warn", "warning": .some(.warning)
        case "error": .some(.error)
        case "critical": .some(.critical)
        case "off": .some(nil)
        default: nil
        }
    }

    private static func isTargetByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"): true
        default: false
        }
    }
}

/// A part of a log filter that is not understood.
public struct LogFilterError: Error, Hashable, Sendable, CustomStringConvertible {
    public let directive: String

    public var description: String {
        "the log filter \"\(directive)\" is not understood: write a level (trace, debug, info, warn, error, off), or target=level"
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> String {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
