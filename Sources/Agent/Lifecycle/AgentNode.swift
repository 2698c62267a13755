import PatinaProtocol
import PatinaStore

/// A backend that is also started and ended: a `NodeRuntime`, or a stand-in for it in a test.
protocol AgentNode: AgentBackend {
    var gossipAddress: Address { get }

    /// Waits until the storage breaks; nil when the node was shut down or the task cancelled first.
    func untilFatal() async -> StoreError?

    /// Finishes what was accepted, leaves the cluster and closes everything. A second call waits for the first.
    func shutdown() async
}
