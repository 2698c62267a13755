/// The store operations that are out, by token.
struct StoreOperations: Sendable {
    enum Purpose: Hashable, Sendable {
        case apply
        case read(SessionID)
        case saveMembers([MemberRecord])
    }

    private var next: UInt64 = 0
    /// Apply operations, served sessions and one list of members: a handful.
    private var out: [(token: StoreToken, purpose: Purpose)] = []

    var count: Int { out.count }

    /// A new token.
    mutating func give(_ purpose: Purpose) -> StoreToken {
        let token = StoreToken(next)
        next += 1
        out.append((token, purpose))
        return token
    }

    /// What an answer is the answer to.
    mutating func take(_ token: StoreToken) -> Purpose {
        guard let index = out.firstIndex(where: { $0.token == token }) else {
            preconditionFailure("the store answers each operation once: token \(token.number) is not out")
        }
        return out.remove(at: index).purpose
    }
}
