import Logging
import NIOCore
import NIOPosix
import PatinaProtocol

/// Keeps a node's bootstrap addresses fresh: names may come to mean other machines, and the resolver may have been away.
///
/// Confined to the driver's event loop; only the resolution itself is elsewhere, on NIO's pool for blocking calls, one at a
/// time. Unchecked for the same reason as its driver: every method checks the loop.
final class BootstrapLoop: @unchecked Sendable {
    private let resolver: BootstrapResolver
    private weak var driver: NodeDriver?
    private let loop: any EventLoop
    private let configuration: RuntimeConfiguration
    private let logger: Logger
    private var isResolving = false
    private var isStopped = false
    private var told: [Address]
    private var next: Scheduled<Void>?

    init(_ resolver: BootstrapResolver, driver: NodeDriver, configuration: RuntimeConfiguration, logger: Logger) {
        self.resolver = resolver
        self.driver = driver
        self.configuration = configuration
        self.logger = logger
        loop = driver.loop
        told = resolver.literal
    }

    /// Resolves now, unless that is under way, and again after a period. Does nothing when there are no names.
    func resolve() {
        loop.preconditionInEventLoop()
        guard resolver.hasNames, !isResolving, !isStopped else { return }
        isResolving = true
        next?.cancel()
        let resolver = resolver
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { resolver.resolve() }.whenComplete { [self] result in
            isResolving = false
            guard !isStopped, let driver else { return }
            switch result {
            case .success(let resolution): tell(resolution, to: driver)
            case .failure(let error): logger.warning("cannot resolve bootstrap names", metadata: ["error": "\(error)"])
            }
            let period = driver.isAlone ? configuration.resolvePeriodAlone : configuration.resolvePeriod
            next = loop.scheduleTask(in: .nanoseconds(max(period, .milliseconds(10)).nanoseconds)) { [weak self] in self?.resolve() }
        }
    }

    /// Returns false when a resolution is under way that will still come back.
    func stop() -> Bool {
        loop.preconditionInEventLoop()
        isStopped = true
        next?.cancel()
        return !isResolving
    }

    private func tell(_ resolution: BootstrapResolver.Resolution, to driver: NodeDriver) {
        for (host, reason) in resolution.failures {
            logger.warning("a bootstrap name was not resolved", metadata: ["host": "\(host)", "reason": "\(reason)"])
        }
        // A resolver that is away must not make the node forget what it knew.
        guard !resolution.addresses.isEmpty, resolution.addresses != told else { return }
        told = resolution.addresses
        driver.resolved(told)
    }
}
