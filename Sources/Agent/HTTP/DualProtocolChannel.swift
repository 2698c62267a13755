import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP2
import NIOHTTPTypes
import NIOHTTPTypesHTTP2
import NIOPosix

/// The child channel of the API server: HTTP/1.1 and HTTP/2 with prior knowledge on one port.
///
/// Corrosion's server detects the version in the same way, and its client library speaks nothing but HTTP/2 without TLS.
struct DualProtocolChannel: HTTPChannelHandler {
    typealias Exchange = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>
    typealias Streams = NIOHTTP2Handler.AsyncStreamMultiplexer<Exchange>

    /// A connection and what it turned out to speak.
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let negotiated: EventLoopFuture<Negotiated>
    }

    enum Negotiated: Sendable {
        case http1(Exchange)
        case http2(Streams)
    }

    /// Answers one request that came by the given version.
    typealias Respond = @Sendable (PrefaceHandler.Version, Request, consuming ResponseWriter, any Channel) async throws -> Void

    let limits: HTTPLimits
    let registry: ConnectionRegistry
    let respond: Respond
    /// What the exchanges that this value handles speak.
    private var version = PrefaceHandler.Version.http1

    init(limits: HTTPLimits, registry: ConnectionRegistry, respond: @escaping Respond) {
        self.limits = limits
        self.registry = registry
        self.respond = respond
    }

    var responder: HTTPChannelHandler.Responder {
        { [version, respond] request, writer, channel in try await respond(version, request, writer, channel) }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            registry.register(channel)
            // A client that closes its side has gone away: work for it should stop.
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
            let promise = channel.eventLoop.makePromise(of: Negotiated.self)
            let preface = PrefaceHandler(timeout: limits.prefaceTimeout) { version in
                switch version {
                case .http1:
                    let exchange = http1Channel.setup(channel: channel, logger: logger)
                    exchange.map { Negotiated.http1($0) }.cascade(to: promise)
                case .http2:
                    promise.succeed(.http2(try configureHTTP2(channel, logger)))
                }
            } fail: { error in
                promise.fail(error)
            }
            try channel.pipeline.syncOperations.addHandler(preface)
            return Value(channel: channel, negotiated: promise.futureResult)
        }
    }

    func handle(value: Value, logger: Logger) async {
        do {
            switch try await value.negotiated.get() {
            case .http1(let exchange):
                await handleHTTP(asyncChannel: exchange, logger: logger)
            case .http2(let streams):
                var handler = self
                handler.version = .http2
                try await withThrowingDiscardingTaskGroup { [handler] group in
                    for try await stream in streams.inbound {
                        group.addTask { await handler.handleHTTP(asyncChannel: stream, logger: logger) }
                    }
                }
            }
        } catch {
            // The client went away, or does not speak HTTP.
            logger.trace("connection ended", metadata: ["reason": "\(error)"])
            value.channel.close(promise: nil)
        }
    }

    private var http1Channel: HTTP1Channel {
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderListSize = limits.headerBytes
        decoder.maxHeaderFieldSize = limits.headerBytes
        return HTTP1Channel(
            responder: responder, configuration: .init(idleTimeout: TimeAmount(limits.idleTimeout), httpDecoderConfiguration: decoder))
    }

    private func configureHTTP2(_ channel: any Channel, _ logger: Logger) throws -> Streams {
        let quiescing = HTTP2Quiescing(idleTimeout: limits.idleTimeout)
        var configuration = NIOHTTP2Handler.Configuration()
        configuration.connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: limits.streams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: limits.headerBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: limits.streamWindow),
        ]
        configuration.stream.targetWindowSize = limits.streamWindow
        let streams: Streams = try channel.pipeline.syncOperations.configureAsyncHTTP2Pipeline(
            mode: .server, streamDelegate: quiescing, configuration: configuration
        ) { stream in
            stream.eventLoop.makeCompletedFuture {
                registry.register(stream)
                try stream.pipeline.syncOperations.addHandler(HTTP2FramePayloadToHTTPServerCodec())
                let idle = HTTPConnectionStateHandler(idleTimeout: limits.idleTimeout, logger: logger)
                try stream.pipeline.syncOperations.addHandler(idle)
                return try Exchange(wrappingChannelSynchronously: stream)
            }
        }
        try channel.pipeline.syncOperations.addHandler(quiescing)
        return streams
    }
}
