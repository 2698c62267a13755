import Foundation
import PatinaProtocol
import PatinaStore

/// Carries out the commands of the admin socket. Each yields any number of frames, the last of which says how it went.
struct AdminService: Sendable {
    let backend: any AgentBackend
    let log: AgentLog
    /// `db.schema_paths`
    let schemaPaths: [String]
    /// `db.allow_destructive_schema`
    let allowDestructiveSchema: Bool
    let cluster: UInt16

    func answer(_ frame: [UInt8]) async -> [AdminResponse] {
        do throws(AdminCommand.Malformed) {
            return await answer(try AdminCommand(json: frame))
        } catch {
            return [.failure(error.description)]
        }
    }

    func answer(_ command: AdminCommand) async -> [AdminResponse] {
        switch command {
        case .ping:
            return [.success]
        case .reload(let allowDestructive):
            return await reload(allowDestructive: allowDestructive || allowDestructiveSchema)
        case .members:
            return await backend.members().filter { $0.state.isPresent }.map { .json(describe($0)) } + [.success]
        case .membershipStates:
            return await backend.members().map { .json(describeState($0)) } + [.success]
        case .rejoin:
            await backend.rejoin()
            return [.log(level: "info", message: "joining the cluster again under a new generation"), .success]
        case .reconnect:
            await backend.closeConnections()
            return [.log(level: "info", message: "all connections to other nodes are closed; new ones follow"), .success]
        case .syncState:
            guard let status = await backend.status() else { return [.failure("the node is shutting down")] }
            return [.json(describe(status)), .success]
        case .snapshot:
            // The socket, which has the connection, sends it itself.
            return [.failure("this agent sends no snapshots")]
        case .setLogFilter(let text):
            do throws(LogFilterError) {
                log.setFilter(try LogFilter(text))
                return [.success]
            } catch {
                return [.failure(error.description)]
            }
        case .resetLogFilter:
            log.resetFilter()
            return [.success]
        }
    }

    private func reload(allowDestructive: Bool) async -> [AdminResponse] {
        let files: [SchemaFile]
        do throws(AgentError) {
            files = try SchemaFiles.load(schemaPaths)
        } catch {
            return [.failure(error.description)]
        }
        do throws(StoreError) {
            let report = try await backend.reloadSchema(files, allowDestructive: allowDestructive)
            return [.log(level: "info", message: describe(report, files: files.count)), .success]
        } catch {
            return [.failure(error.description)]
        }
    }

    private func describe(_ report: SchemaReport, files: Int) -> String {
        let parts = [
            ("created tables", report.createdTables), ("adopted tables", report.adoptedTables), ("dropped tables", report.droppedTables),
            ("added columns", report.addedColumns), ("changed columns", report.changedColumns), ("dropped columns", report.droppedColumns),
            ("created indexes", report.createdIndexes), ("dropped indexes", report.droppedIndexes),
        ].filter { !$0.1.isEmpty }.map { "\($0.0): \($0.1.joined(separator: ", "))" }
        let changes = parts.isEmpty ? "nothing changed" : parts.joined(separator: "; ")
        return "applied \(files) schema file\(files == 1 ? "" : "s"); \(changes)"
    }

    /// The generation stands where Corrosion has the timestamp of its identity: of two, the larger is the newer.
    private func describe(_ member: Member) -> JSONValue {
        .members(
            ("id", .string(member.record.actor.description)),
            (
                "state",
                .members(
                    ("addr", .string("\(member.record.address)")), ("ts", .unsigned(member.record.generation)),
                    ("cluster_id", .integer(Int64(cluster))), ("ring", .null), ("last_sync_ts", .null), ("member_id", .null))
            ),
            ("rtts", member.roundTrip.map { .array([.real(Double($0.nanoseconds) / 1e6)]) } ?? .null))
    }

    private func describeState(_ member: Member) -> JSONValue {
        let state =
            switch member.state {
            case .alive: "Alive"
            case .suspect: "Suspect"
            case .down, .left: "Down"
            }
        return .members(
            (
                "id",
                .members(
                    ("id", .string(member.record.actor.description)), ("addr", .string("\(member.record.address)")),
                    ("ts", .unsigned(member.record.generation)), ("cluster_id", .integer(Int64(cluster))), ("member_id", .null))
            ),
            ("incarnation", .unsigned(member.incarnation)), ("state", .string(state)))
    }

    /// Which sequence numbers of a partial version are missing is known to the store alone: their list is empty here.
    private func describe(_ status: AgentStatus) -> JSONValue {
        let heads = status.progress.map { JSONValue.Member($0.actor.description, .unsigned($0.head)) }
        let needs = status.progress.filter { !$0.needs.isEmpty }.map { progress in
            JSONValue.Member(
                progress.actor.description,
                .array(progress.needs.ranges.map { .members(("start", .unsigned($0.lowerBound)), ("end", .unsigned($0.upperBound))) }))
        }
        let partials = status.progress.filter { !$0.partials.isEmpty }.map { progress in
            JSONValue.Member(progress.actor.description, .object(progress.partials.map { .init("\($0)", .array([])) }))
        }
        return .members(
            ("actor_id", .string(status.actor.description)), ("heads", .object(heads)), ("need", .object(needs)),
            ("partial_need", .object(partials)), ("last_cleared_ts", .null),
            ("waiting_for_schema", .integer(Int64(status.waitingVersions))))
    }
}
