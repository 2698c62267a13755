/// Store operations and their results in a log: a tag, then the fields in the order of their declaration.
private enum OperationTag: UInt8 {
    case apply = 1
    case read = 2
    case saveMembers = 3
}

private enum ResultTag: UInt8 {
    case applied = 1
    case read = 2
    case savedMembers = 3
    case failed = 4
}

private enum LedgerChangeTag: UInt8 {
    case completed = 1
    case buffered = 2
}

extension ByteWriter {
    mutating func write(_ operation: StoreOperation) {
        switch operation {
        case .apply(let chunks, let empties):
            write(OperationTag.apply.rawValue)
            writeList(chunks) { $0.write($1) }
            writeList(empties) { $0.write($1) }
        case .read(let request):
            write(OperationTag.read.rawValue)
            writeWants(request.wants)
            writeInteger(request.byteLimit)
        case .saveMembers(let members):
            write(OperationTag.saveMembers.rawValue)
            writeList(members) { $0.write($1) }
        }
    }

    mutating func write(_ result: StoreResult) {
        switch result {
        case .applied(let changes, let refused):
            write(ResultTag.applied.rawValue)
            writeList(changes) { $0.write($1) }
            writeList(refused) {
                $0.write($1.id)
                $0.writeString($1.reason)
            }
        case .read(let chunks, let empties, let remaining):
            write(ResultTag.read.rawValue)
            writeList(chunks) { $0.write($1) }
            writeList(empties) { $0.write($1) }
            writeWants(remaining)
        case .savedMembers: write(ResultTag.savedMembers.rawValue)
        case .failed(let reason):
            write(ResultTag.failed.rawValue)
            writeString(reason)
        }
    }

    mutating func write(_ change: LedgerChange) {
        switch change {
        case .completed(let actor, let versions):
            write(LedgerChangeTag.completed.rawValue)
            write(actor)
            writeRange(versions)
        case .buffered(let chunk):
            write(LedgerChangeTag.buffered.rawValue)
            write(chunk)
        }
    }

    private mutating func write(_ empty: EmptyVersions) {
        write(empty.actor)
        writeRange(empty.versions)
    }
}

extension ByteReader {
    mutating func readStoreOperation() throws(MalformedInput) -> StoreOperation {
        let tag: OperationTag = try readCase("store operation")
        switch tag {
        case .apply: return .apply(chunks: try readChunks(), empties: try readEmpties())
        case .read: return .read(ReadRequest(wants: try readWants(limit: .max), byteLimit: try readInteger()))
        case .saveMembers: return .saveMembers(try readMembers())
        }
    }

    mutating func readStoreResult() throws(MalformedInput) -> StoreResult {
        let tag: ResultTag = try readCase("result of the store")
        switch tag {
        case .applied:
            let changes = try readLedgerChanges()
            let refused = try readList(of: "refused chunks", least: 21) { (reader: inout ByteReader) throws(MalformedInput) in
                RefusedChunk(id: try reader.readChunkID(), reason: try reader.readString())
            }
            return .applied(changes: changes, refused: refused)
        case .read: return .read(chunks: try readChunks(), empties: try readEmpties(), remaining: try readWants(limit: .max))
        case .savedMembers: return .savedMembers
        case .failed: return .failed(reason: try readString())
        }
    }

    mutating func readLedgerChanges() throws(MalformedInput) -> [LedgerChange] {
        try readList(of: "ledger changes", least: 19) { (reader: inout ByteReader) throws(MalformedInput) in
            let tag: LedgerChangeTag = try reader.readCase("ledger change")
            switch tag {
            case .completed: return .completed(try reader.readActor(), versions: try reader.readRange())
            case .buffered: return .buffered(try reader.readChunkID())
            }
        }
    }

    private mutating func readEmpties() throws(MalformedInput) -> [EmptyVersions] {
        try readList(of: "empty ranges", least: 18) { (reader: inout ByteReader) throws(MalformedInput) in
            EmptyVersions(actor: try reader.readActor(), versions: try reader.readRange())
        }
    }
}
