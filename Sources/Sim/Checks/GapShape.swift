import PatinaProtocol

/// The checker `gaps-well-formed`.
///
/// Verified for every actor that a node knows: complete ranges ascend, do not touch and start at 1 or later; a partial version is
/// not complete, and what has come of it lies within it and is not all of it. Not verified: that it is true; that is
/// `bookkeeping-matches-rows`.
enum GapShape {
    static func problem(_ ledger: VersionLedger) -> String? {
        for actor in ledger.actors {
            guard let entry = ledger[actor] else { return "\(actor) is listed and has no entry" }
            if let problem = problem(complete: entry.complete.ranges) { return "\(actor): \(problem)" }
            for (version, partial) in entry.partials {
                let ranges = partial.received.ranges
                if entry.isComplete(version) { return "\(actor): version \(version) is complete and partial" }
                if ranges.isEmpty || ranges == [0...partial.lastSequence] || (ranges.last?.upperBound ?? 0) > partial.lastSequence {
                    return "\(actor): of the \(partial.lastSequence + 1) changes of version \(version) it has \(partial.received)"
                }
            }
        }
        return nil
    }

    static func problem(complete ranges: [ClosedRange<UInt64>]) -> String? {
        var end: UInt64?
        for range in ranges {
            if range.lowerBound == 0 { return "version 0 is complete" }
            if let end, range.lowerBound <= end + 1 { return "the range \(range) follows one that ends at \(end)" }
            end = range.upperBound
        }
        return nil
    }
}
