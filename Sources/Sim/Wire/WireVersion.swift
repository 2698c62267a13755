/// The wire format that a simulated process speaks.
enum WireVersion: String, CaseIterable, Sendable {
    /// That of this build.
    case own = "1.0"
    /// A later build of the same format: it writes fields and kinds that this one does not know.
    case laterMinor = "1.1"
    /// Another format, that 1.x cannot read and that does not read 1.x.
    case otherMajor = "2.0"
}
