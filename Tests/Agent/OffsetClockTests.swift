// Goal: an agent's wall clock is off by what its file says at the moment.
// Method: a file that changes under the clock; offsets of days, which no slow machine makes up.

import Foundation
import PatinaStore
import Testing

@testable import PatinaAgent

@Suite struct OffsetClockTests {
    @Test("offset clock: follows its file, and is right while that says nothing")
    func followsFile() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "patina-clock-\(UInt64.random(in: 0...UInt64.max))").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(throws: AgentError.self) { try OffsetClock(file: path) }
        let day: Int64 = 86_400_000_000_000
        try Data().write(to: URL(filePath: path))
        let clock = try OffsetClock(file: path).wallClock
        #expect(abs(clock() - systemWallClock()) < day)
        for days: Int64 in [3, -5] {
            let handle = try #require(FileHandle(forWritingAtPath: path))
            try handle.write(contentsOf: withUnsafeBytes(of: (days * day).littleEndian) { Data($0) })
            try handle.close()
            #expect(abs(clock() - systemWallClock() - days * day) < day)
        }
    }
}
