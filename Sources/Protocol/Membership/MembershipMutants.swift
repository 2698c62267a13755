/// Mistakes that the simulator's tests ask SWIM to make, to show that their checkers find them. `package`: nothing outside of this
/// package can set one, and the agent does not.
package struct MembershipMutants: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let suspicionNeverRefuted = MembershipMutants(rawValue: 1)
    package static let incarnationNotRaised = MembershipMutants(rawValue: 2)
    package static let suspicionNotWaited = MembershipMutants(rawValue: 4)
    package static let staleTimerObeyed = MembershipMutants(rawValue: 8)
    package static let rumourBelieved = MembershipMutants(rawValue: 16)
}
