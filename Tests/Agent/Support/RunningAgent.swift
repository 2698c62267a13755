import Testing

@testable import PatinaAgent

/// Runs an agent until `body` is done, and demands that it then ends in time and without an error.
func withRunningAgent(_ agent: Agent, _ body: @escaping @Sendable (Agent.Addresses) async throws -> Void) async throws {
    var agent = agent
    let ready = Announcement<Agent.Addresses>()
    agent.onReady = { ready.give($0) }
    let running = Task { [agent] in
        defer { ready.give(nil) }
        try await agent.run()
    }
    do {
        try await body(try #require(await ready.value()))
    } catch {
        running.cancel()
        throw error
    }
    running.cancel()
    try await running.value
}
