import PatinaProtocol

/// The goal `members-agree`.
///
/// Verified: the alive and suspected members of every live node are exactly the live nodes. Not verified: that they are not suspected.
enum MemberAgreement {
    /// What stands in the way; nil when all agree.
    static func difference(hosts: [Host]) -> String? {
        let live = hosts.filter(\.isUp).map(\.identity).sorted()
        for host in hosts {
            guard let process = host.process else { continue }
            let members = process.node.aliveMembers.map(\.actor)
            if members != live { return "node:\(host.index) believes in \(members.count) members, \(live.count) nodes are live" }
        }
        return nil
    }
}
