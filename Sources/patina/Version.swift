/// The version of this source tree (CHANGELOG.md).
enum Version {
    static let current = "0.1.0"
}
