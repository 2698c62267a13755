import NIOCore
import NIOHTTP2

/// Ends an HTTP/2 connection gracefully: says GOAWAY, lets the open streams end, then closes. Also closes a connection that
/// has had no open stream for long.
final class HTTP2Quiescing: ChannelInboundHandler, NIOHTTP2StreamDelegate, @unchecked Sendable {
    // Unchecked: everything happens on the connection's event loop. NIOHTTP2 calls its delegate there.
    typealias InboundIn = HTTP2Frame
    typealias InboundOut = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let idleTimeout: Duration
    private var context: ChannelHandlerContext?
    private var openStreams = 0
    private var isQuiescing = false
    private var idleDeadline: Scheduled<Void>?

    init(idleTimeout: Duration) { self.idleTimeout = idleTimeout }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        startIdling(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        idleDeadline?.cancel()
        self.context = nil
    }

    func streamCreated(_ id: HTTP2StreamID, channel: any Channel) {
        openStreams += 1
        idleDeadline?.cancel()
        idleDeadline = nil
    }

    func streamClosed(_ id: HTTP2StreamID, channel: any Channel) {
        openStreams -= 1
        guard openStreams == 0, let context else { return }
        if isQuiescing { context.close(promise: nil) } else { startIdling(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent else { return context.fireUserInboundEventTriggered(event) }
        quiesce(context)
    }

    private func startIdling(_ context: ChannelHandlerContext) {
        idleDeadline = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(idleTimeout)) { [weak self] in
            guard let self, openStreams == 0, let context = self.context else { return }
            quiesce(context)
        }
    }

    private func quiesce(_ context: ChannelHandlerContext) {
        guard !isQuiescing else { return }
        isQuiescing = true
        // The largest id: streams that the client has opened already, and that are still on their way, are served.
        let farewell = HTTP2Frame(streamID: .rootStream, payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
        context.writeAndFlush(wrapOutboundOut(farewell), promise: nil)
        if openStreams == 0 { context.close(promise: nil) }
    }
}
