/// Notices and measurements in a log: a tag, then the fields in the order of their declaration.
private enum NoticeTag: UInt8 {
    case memberUp = 1
    case memberSuspected = 2
    case memberDown = 3
    case memberLeft = 4
    case refuted = 5
    case left = 6
    case versionApplied = 7
    case malformed = 8
    case chunkRefused = 9
    case storeFailed = 10
}

private enum MeasurementTag: UInt8 {
    case sent = 1
    case received = 2
    case duplicate = 3
    case delivered = 4
    case dropped = 5
    case probed = 6
    case synced = 7
    case skipped = 8
    case foreignCluster = 9
    case announced = 10
    case graftSent = 11
    case leftToSync = 12
    case repaired = 13
    case syncRefused = 14
    case chaos = 15
}

extension ByteWriter {
    private mutating func write(_ tag: NoticeTag) { write(tag.rawValue) }

    mutating func write(_ notice: Notice) {
        switch notice {
        case .memberUp(let member):
            write(NoticeTag.memberUp)
            write(member)
        case .memberSuspected(let member):
            write(NoticeTag.memberSuspected)
            write(member)
        case .memberDown(let member):
            write(NoticeTag.memberDown)
            write(member)
        case .memberLeft(let member):
            write(NoticeTag.memberLeft)
            write(member)
        case .refuted(let incarnation):
            write(NoticeTag.refuted)
            writeVarint(incarnation)
        case .left: write(NoticeTag.left)
        case .versionApplied(let actor, let version):
            write(NoticeTag.versionApplied)
            write(actor)
            writeVarint(version)
        case .malformed(let sender, let reason):
            write(NoticeTag.malformed)
            write(sender)
            writeString(reason)
        case .chunkRefused(let chunk, let reason):
            write(NoticeTag.chunkRefused)
            write(chunk)
            writeString(reason)
        case .storeFailed(let reason):
            write(NoticeTag.storeFailed)
            writeString(reason)
        }
    }

    private mutating func write(_ tag: MeasurementTag) { write(tag.rawValue) }

    mutating func write(_ measurement: Measurement) {
        switch measurement {
        case .sent(let kind, let bytes):
            write(MeasurementTag.sent)
            write(kind.rawValue)
            writeInteger(bytes)
        case .received(let kind, let bytes):
            write(MeasurementTag.received)
            write(kind.rawValue)
            writeInteger(bytes)
        case .duplicate(let chunk):
            write(MeasurementTag.duplicate)
            write(chunk)
        case .delivered(let chunk, let hops):
            write(MeasurementTag.delivered)
            write(chunk)
            writeVarint(hops)
        case .dropped(let bound):
            write(MeasurementTag.dropped)
            write(bound.rawValue)
        case .probed(let actor, let roundTrip):
            write(MeasurementTag.probed)
            write(actor)
            write(roundTrip)
        case .synced(let actor, let chunks, let bytes):
            write(MeasurementTag.synced)
            write(actor)
            writeInteger(chunks)
            writeInteger(bytes)
        case .skipped(let kind):
            write(MeasurementTag.skipped)
            write(kind.rawValue)
        case .foreignCluster: write(MeasurementTag.foreignCluster)
        case .announced(let chunks):
            write(MeasurementTag.announced)
            writeInteger(chunks)
        case .graftSent(let chunks):
            write(MeasurementTag.graftSent)
            writeInteger(chunks)
        case .leftToSync(let chunks):
            write(MeasurementTag.leftToSync)
            writeInteger(chunks)
        case .repaired(let chunk):
            write(MeasurementTag.repaired)
            write(chunk)
        case .syncRefused(let actor):
            write(MeasurementTag.syncRefused)
            write(actor)
        case .chaos(let point):
            write(MeasurementTag.chaos)
            write(point)
        }
    }
}

extension ByteReader {
    mutating func readNotice() throws(MalformedInput) -> Notice {
        let tag: NoticeTag = try readCase("notice")
        switch tag {
        case .memberUp: return .memberUp(try readMemberRecord())
        case .memberSuspected: return .memberSuspected(try readMemberRecord())
        case .memberDown: return .memberDown(try readMemberRecord())
        case .memberLeft: return .memberLeft(try readMemberRecord())
        case .refuted: return .refuted(incarnation: try readVarint())
        case .left: return .left
        case .versionApplied: return .versionApplied(try readActor(), version: try readVarint())
        case .malformed: return .malformed(from: try readAddress(), reason: try readString())
        case .chunkRefused: return .chunkRefused(try readChunkID(), reason: try readString())
        case .storeFailed: return .storeFailed(reason: try readString())
        }
    }

    mutating func readMeasurement() throws(MalformedInput) -> Measurement {
        let tag: MeasurementTag = try readCase("measurement")
        switch tag {
        case .sent: return .sent(try readCase("class of a message"), bytes: try readInteger())
        case .received: return .received(try readCase("class of a message"), bytes: try readInteger())
        case .duplicate: return .duplicate(try readChunkID())
        case .delivered: return .delivered(try readChunkID(), hops: try readVarint())
        case .dropped: return .dropped(try readCase("bound"))
        case .probed: return .probed(try readActor(), roundTrip: try readDuration())
        case .synced: return .synced(with: try readActor(), chunks: try readInteger(), bytes: try readInteger())
        case .skipped: return .skipped(try readCase("class of a message"))
        case .foreignCluster: return .foreignCluster
        case .announced: return .announced(chunks: try readInteger())
        case .graftSent: return .graftSent(chunks: try readInteger())
        case .leftToSync: return .leftToSync(chunks: try readInteger())
        case .repaired: return .repaired(try readChunkID())
        case .syncRefused: return .syncRefused(by: try readActor())
        case .chaos: return .chaos(point: try readByte())
        }
    }
}
