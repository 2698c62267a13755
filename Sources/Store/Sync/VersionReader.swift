import PatinaProtocol

/// Serves versions to peers that lack them, from a consistent snapshot. Works on any connection to the database.
struct VersionReader {
    let clocks: ClockTables
    let limits: Limits
    /// True on a connection that does not write: what the writer has not folded yet is read from its versions first.
    var refreshesClocks = false
    /// Rows of large versions whose clocks are looked at for one request, and one page more at most: so that overwritten rows cost a
    /// bounded time too.
    var rowLimit = 65_536

    private var connection: Connection { clocks.connection }
    private var sites: SiteTable { clocks.sites }

    /// Versions that are looked at for one request, so that a long history of overwritten versions costs a bounded time.
    private static let versionLimit = 4_096

    /// What has been gathered for the answer.
    private struct Answer {
        var chunks: [Chunk] = []
        var empties: [EmptyVersions] = []
        var bytes = 0
        let byteLimit: Int
        var versionsLeft = VersionReader.versionLimit
        var rowsLeft: Int
        /// False when nothing was ever left out of any version: then none need be asked about.
        let hasThinVersions: Bool

        /// Takes a chunk if it fits, or if it is the first.
        mutating func take(_ chunk: Chunk) -> Bool {
            guard chunks.isEmpty || bytes + chunk.body.count <= byteLimit else { return false }
            bytes += chunk.body.count
            chunks.append(chunk)
            return true
        }

        mutating func takeEmpty(_ actor: ActorID, _ versions: ClosedRange<UInt64>) {
            if let last = empties.last, last.actor == actor, last.versions.lowerBound == versions.upperBound + 1 {
                empties[empties.count - 1].versions = versions.lowerBound...last.versions.upperBound
            } else {
                empties.append(EmptyVersions(actor: actor, versions: versions))
            }
        }
    }

    func read(_ request: ReadRequest) throws(StoreError) -> StoreResult {
        try connection.statement(.beginReading).run()
        defer { connection.rollBack() }
        if refreshesClocks { try clocks.refresh(fromStart: false) }
        var answer = Answer(byteLimit: request.byteLimit, rowsLeft: rowLimit, hasThinVersions: try ThinVersions.areThere(connection))
        var remaining: [ReadRequest.Want] = []
        for (index, want) in request.wants.enumerated() {
            let rest: [ReadRequest.Want]
            switch want {
            case .versions(let actor, let versions): rest = try serve(actor, versions, into: &answer)
            case .sequences(let actor, let version, let sequences): rest = try serve(actor, version, sequences, into: &answer)
            }
            if !rest.isEmpty {
                remaining = rest + request.wants[(index + 1)...]
                break
            }
        }
        return .read(chunks: answer.chunks, empties: answer.empties, remaining: remaining)
    }

    // MARK: Ranges of versions

    /// Serves a range from its highest version down. Returns what did not fit.
    private func serve(_ actor: ActorID, _ versions: ClosedRange<UInt64>, into answer: inout Answer) throws(StoreError) -> [ReadRequest
        .Want]
    {
        guard let site = sites.ordinal(of: actor) else { return [] }
        let low = max(versions.lowerBound, 1)
        let high = min(versions.upperBound, Bookkeeping.lastVersion)
        guard low <= high else { return [] }
        let complete = try Bookkeeping.readComplete(connection, site: site, within: low...high)
        let partials = try partialVersions(site, low...high)
        // Both lists ascend and share no version; they are walked from their ends.
        var (range, partial) = (complete.ranges.count - 1, partials.count - 1)
        while range >= 0 || partial >= 0 {
            if partial >= 0, range < 0 || partials[partial] > complete.ranges[range].upperBound {
                let rest = try servePieces(actor, site, partials[partial], of: nil, into: &answer)
                if !rest.isEmpty { return rest + wants(actor, low, below: partials[partial]) }
                partial -= 1
            } else {
                if let rest = try serveComplete(actor, site, complete.ranges[range], from: low, into: &answer) { return rest }
                range -= 1
            }
        }
        return []
    }

    private func wants(_ actor: ActorID, _ low: UInt64, below version: UInt64) -> [ReadRequest.Want] {
        version > low ? [.versions(actor, low...(version - 1))] : []
    }

    private func partialVersions(_ site: Int, _ versions: ClosedRange<UInt64>) throws(StoreError) -> [UInt64] {
        let statement = try connection.statement(.partialVersions)
        try statement.bind(1, site)
        try statement.bind(2, versions.lowerBound)
        try statement.bind(3, versions.upperBound)
        var result: [UInt64] = []
        while try statement.step() { result.append(statement.unsigned(0)) }
        return result
    }

    /// Serves a range of complete versions. Returns nil when all of it fitted.
    private func serveComplete(
        _ actor: ActorID, _ site: Int, _ range: ClosedRange<UInt64>, from low: UInt64, into answer: inout Answer
    ) throws(StoreError) -> [ReadRequest.Want]? {
        let statement = try connection.statement(.versionsInRange)
        try statement.bind(1, Bookkeeping.versionID(site, range.lowerBound))
        try statement.bind(2, Bookkeeping.versionID(site, range.upperBound))
        defer { statement.reset() }
        // The lowest version that has been answered for.
        var done = range.upperBound + 1
        while try statement.step() {
            let version = Bookkeeping.version(ofID: statement.integer(0))
            if version + 1 < done { answer.takeEmpty(actor, (version + 1)...(done - 1)) }
            done = version + 1
            guard answer.versionsLeft > 0 else { return [.versions(actor, low...version)] }
            answer.versionsLeft -= 1
            let stored = StoredVersion(
                actor: actor, site: site, version: version, timestamp: HybridTimestamp(ntp64: statement.unsigned(1)),
                lastSequence: statement.unsigned(2), keys: statement.blob(3))
            let rest = try serve(stored, only: nil, into: &answer)
            if !rest.isEmpty { return rest + wants(actor, low, below: version) }
            done = version
        }
        if done > range.lowerBound { answer.takeEmpty(actor, range.lowerBound...(done - 1)) }
        return nil
    }

    // MARK: Sequence numbers of one version

    private func serve(
        _ actor: ActorID, _ version: UInt64, _ sequences: IntervalSet, into answer: inout Answer
    ) throws(StoreError) -> [ReadRequest.Want] {
        guard let site = sites.ordinal(of: actor), (1...Bookkeeping.lastVersion).contains(version) else { return [] }
        let statement = try connection.statement("SELECT timestamp, last_sequence, keys FROM __patina_versions WHERE id = ?1")
        try statement.bind(1, Bookkeeping.versionID(site, version))
        defer { statement.reset() }
        if try statement.step() {
            let stored = StoredVersion(
                actor: actor, site: site, version: version, timestamp: HybridTimestamp(ntp64: statement.unsigned(0)),
                lastSequence: statement.unsigned(1), keys: statement.blob(2))
            return try serve(stored, only: sequences, into: &answer)
        }
        if try Bookkeeping.readComplete(connection, site: site, within: version...version).contains(version) {
            answer.takeEmpty(actor, version...version)
            return []
        }
        return try servePieces(actor, site, version, of: sequences, into: &answer)
    }

    /// Serves the buffered chunks of a partial version as they came.
    private func servePieces(
        _ actor: ActorID, _ site: Int, _ version: UInt64, of sequences: IntervalSet?, into answer: inout Answer
    ) throws(StoreError) -> [ReadRequest.Want] {
        let chunks = try Bookkeeping.readChunks(connection, site: site, actor: actor, version...version, withBodies: true)
        var rest = IntervalSet()
        for chunk in chunks {
            if let sequences, sequences.intersection(IntervalSet(chunk.id.sequences)).isEmpty { continue }
            if !rest.isEmpty || !answer.take(chunk) { rest.insert(chunk.id.sequences) }
        }
        return rest.isEmpty ? [] : [.sequences(actor, version: version, rest)]
    }

    /// Serves what is left of a complete version.
    private func serve(_ stored: StoredVersion, only sequences: IntervalSet?, into answer: inout Answer) throws(StoreError) -> [ReadRequest
        .Want]
    {
        let thin = answer.hasThinVersions ? try ThinVersions(connection, site: stored.site, stored.version) : .none
        if KeyPages.isHead(stored.keys) { return try servePages(stored, only: sequences, thin, into: &answer) }
        let rows = try VersionRows(stored, clocks: clocks, thin: thin)
        guard !rows.isEmpty else {
            answer.takeEmpty(stored.actor, stored.version...stored.version)
            return []
        }
        let all = IntervalSet(0...stored.lastSequence)
        let wanted = sequences.map { $0.intersection(all) } ?? all
        var rest = IntervalSet()
        for range in wanted.ranges {
            guard rest.isEmpty else {
                rest.insert(range)
                continue
            }
            func take(_ chunk: Chunk) -> Bool {
                guard !answer.take(chunk) else { return true }
                rest.insert(chunk.id.sequences.lowerBound...range.upperBound)
                return false
            }
            var cutter = cutter(for: stored, from: range.lowerBound, omitted: rows.omitted)
            guard try rows.add(range, to: &cutter, take) else { continue }
            cutter.finish(at: range.upperBound)
            _ = cutter.takeChunks().allSatisfy(take)
        }
        return rest.isEmpty ? [] : [.sequences(stored.actor, version: stored.version, rest)]
    }

    private func cutter(for stored: StoredVersion, from first: UInt64, omitted: [Changeset.Table]) -> ChunkCutter {
        var cutter = ChunkCutter(
            actor: stored.actor, version: stored.version, timestamp: stored.timestamp, lastSequence: stored.lastSequence, from: first,
            chunkBytes: limits.chunkBytes)
        cutter.omitted = omitted
        return cutter
    }

    /// Serves what is left of a version of very many rows, page by page: what a request costs depends on what it returns, and on
    /// the rows in between of which nothing is left.
    private func servePages(
        _ stored: StoredVersion, only sequences: IntervalSet?, _ thin: ThinVersions, into answer: inout Answer
    ) throws(StoreError) -> [ReadRequest.Want] {
        let all = IntervalSet(0...stored.lastSequence)
        let wanted = sequences.map { $0.intersection(all) } ?? all
        let omitted: [Changeset.Table]
        do { omitted = try thin.omitted(stored, in: clocks.catalog) } catch {
            throw .corrupt(
                message: "\(connection.name): the key list of version \(stored.version) of \(stored.actor) is damaged: \(error.reason)")
        }
        var rest = IntervalSet()
        // Until something is found, nothing is said: a version of which nothing is left is empty, whatever its extent.
        var isEmpty = omitted.isEmpty && wanted == all
        for range in wanted.ranges {
            guard rest.isEmpty else {
                rest.insert(range)
                continue
            }
            func take(_ chunk: Chunk) -> Bool {
                guard !answer.take(chunk) else { return true }
                rest.insert(chunk.id.sequences.lowerBound...range.upperBound)
                return false
            }
            var cutter = cutter(for: stored, from: range.lowerBound, omitted: omitted)
            var next = range.lowerBound
            var isStopped = false
            while next <= range.upperBound, !isStopped, let page = try KeyPages.page(connection, stored, holding: next) {
                if answer.rowsLeft <= 0, next > range.lowerBound {
                    isEmpty = false
                    rest.insert(next...range.upperBound)
                    break
                }
                answer.rowsLeft -= KeyPages.pageRows
                var part = stored
                part.keys = page.keys
                let rows = try VersionRows(part, clocks: clocks, thin: nil, within: page.sequences)
                if !rows.isEmpty { isEmpty = false }
                isStopped = try !rows.add(page.sequences.clamped(to: range), to: &cutter, take)
                next = page.sequences.upperBound + 1
            }
            if isStopped || isEmpty { continue }
            cutter.finish(at: rest.isEmpty ? range.upperBound : next - 1)
            _ = cutter.takeChunks().allSatisfy(take)
        }
        if isEmpty { answer.takeEmpty(stored.actor, stored.version...stored.version) }
        return rest.isEmpty ? [] : [.sequences(stored.actor, version: stored.version, rest)]
    }
}

/// A row of the table of versions.
struct StoredVersion {
    let actor: ActorID
    let site: Int
    let version: UInt64
    let timestamp: HybridTimestamp
    let lastSequence: UInt64
    var keys: [UInt8]
}
