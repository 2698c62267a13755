/// Marks of those who suspect a member: the first one and as many confirmations as may shorten a suspicion. Further ones are not kept.
///
/// Four numbers in place instead of an array: a packet of thousands of claims is then one piece of memory.
struct SuspicionMarks: Hashable, Sendable {
    static let limit = 4

    private var first: UInt32 = 0
    private var second: UInt32 = 0
    private var third: UInt32 = 0
    private var fourth: UInt32 = 0
    private(set) var count = 0

    init() {}

    /// Adds a mark; nothing happens when there are `limit` of them.
    mutating func append(_ mark: UInt32) {
        switch count {
        case 0: first = mark
        case 1: second = mark
        case 2: third = mark
        case 3: fourth = mark
        default: return
        }
        count += 1
    }
}

extension SuspicionMarks: RandomAccessCollection {
    var startIndex: Int { 0 }
    var endIndex: Int { count }
    subscript(position: Int) -> UInt32 {
        switch position {
        case 0: first
        case 1: second
        case 2: third
        case 3: fourth
        default: preconditionFailure("there are at most \(Self.limit) marks")
        }
    }
}

extension SuspicionMarks: ExpressibleByArrayLiteral {
    init(arrayLiteral marks: UInt32...) { self.init(marks) }

    init(_ marks: some Sequence<UInt32>) { for mark in marks { append(mark) } }
}
