import NIOCore

/// Tells HTTP/2 with prior knowledge from HTTP/1.1 by the first bytes of a connection, which only HTTP/2 begins with its
/// preface (RFC 9113, section 3.4), and then makes way for the handlers of the one or the other.
final class PrefaceHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    enum Version: Hashable, Sendable { case http1, http2 }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// Set once, when the connection has begun to speak or was lost before.
    private enum State {
        case waiting(ByteBuffer)
        case decided
    }

    private var state = State.waiting(ByteBuffer())
    private var deadline: Scheduled<Void>?
    private let timeout: Duration
    private let decide: (Version) throws -> Void
    private let fail: (any Error) -> Void

    /// - Parameters:
    ///   - timeout: how long the connection may be silent.
    ///   - decide: adds the handlers of the version behind this one.
    ///   - fail: called instead when the connection is lost first.
    init(timeout: Duration, decide: @escaping (Version) throws -> Void, fail: @escaping (any Error) -> Void) {
        self.timeout = timeout
        self.decide = decide
        self.fail = fail
    }

    /// What the bytes so far say; nil when they are too few.
    static func version(of bytes: some Collection<UInt8>) -> Version? {
        if !zip(bytes, preface).allSatisfy({ $0 == $1 }) { return .http1 }
        return bytes.count >= preface.count ? .http2 : nil
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: TimeAmount(timeout)) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        abandon(ChannelError.eof)
    }

    func channelInactive(context: ChannelHandlerContext) {
        abandon(ChannelError.eof)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Nothing was asked yet, so nothing is lost by closing.
        if event is ChannelShouldQuiesceEvent { context.close(promise: nil) } else { context.fireUserInboundEventTriggered(event) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        abandon(error)
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .waiting(var buffer) = state else { return context.fireChannelRead(data) }
        var received = unwrapInboundIn(data)
        buffer.writeBuffer(&received)
        guard let version = Self.version(of: buffer.readableBytesView) else {
            state = .waiting(buffer)
            return
        }
        state = .decided
        do {
            try decide(version)
        } catch {
            fail(error)
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(wrapInboundOut(buffer))
        context.fireChannelReadComplete()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func abandon(_ error: any Error) {
        guard case .waiting = state else { return }
        state = .decided
        fail(error)
    }
}
