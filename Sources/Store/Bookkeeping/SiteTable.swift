import PatinaProtocol

/// The actors that clock records name by small numbers. A number is never given to another actor.
final class SiteTable {
    private(set) var actors: [ActorID] = []
    private var ordinals: [ActorID: Int] = [:]

    init() {}

    /// That of a database in which nobody has written yet but its own actor.
    init(_ own: ActorID) {
        actors = [own]
        ordinals = [own: 0]
    }

    var count: Int { actors.count }

    /// Reads the table anew: at the start, and after a transaction that added actors was taken back.
    func reload(_ connection: Connection) throws(StoreError) {
        actors.removeAll()
        ordinals.removeAll()
        let statement = try connection.statement("SELECT ordinal, actor FROM __patina_sites ORDER BY ordinal")
        while try statement.step() {
            guard statement.integer(0) == Int64(actors.count), let actor = ActorID(bytes: statement.bytes(1)) else {
                statement.reset()
                throw .corrupt(message: "\(connection.name): the table of sites has a gap or an actor that is not 16 bytes long")
            }
            ordinals[actor] = actors.count
            actors.append(actor)
        }
    }

    func ordinal(of actor: ActorID) -> Int? { ordinals[actor] }

    /// The number of an actor, given out now if need be. Must run within a write transaction.
    func makeOrdinal(of actor: ActorID, _ connection: Connection) throws(StoreError) -> Int {
        if let known = ordinals[actor] { return known }
        guard actors.count < Bookkeeping.siteLimit else { throw .tooLarge(message: "more than \(Bookkeeping.siteLimit) actors") }
        let statement = try connection.statement(.addSite)
        try statement.bind(1, actors.count)
        try statement.bind(2, blob: actor.bytes)
        try statement.run()
        ordinals[actor] = actors.count
        actors.append(actor)
        return actors.count - 1
    }
}
