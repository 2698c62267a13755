import Testing

@testable import PatinaRuntime

@Suite struct OneShotTests {
    @Test("one shot: everybody who waits gets the first value, also those who come late")
    func value() async {
        let shot = OneShot<Int>()
        await withTaskGroup(of: Int?.self) { group in
            for _ in 0..<8 { group.addTask { await shot.wait() } }
            group.addTask {
                shot.complete(1)
                shot.complete(2)
                return 1
            }
            for await value in group { #expect(value == 1) }
        }
        #expect(await shot.wait() == 1)
        #expect(await shot.wait(atMost: .zero) == 1)
    }

    @Test("one shot: waiting ends without a value when time is up or the task is cancelled")
    func withoutValue() async {
        let shot = OneShot<Int>()
        #expect(await shot.wait(atMost: .milliseconds(1)) == nil)
        let task = Task { await shot.wait() }
        task.cancel()
        #expect(await task.value == nil)
        #expect(shot.current == nil)
    }
}
