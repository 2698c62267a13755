import Foundation

/// A certificate and its private key, both as PEM, and where they go.
struct CertificateFiles {
    var certificatePath: String
    var keyPath: String

    /// Throws when one of the files is there and may not be replaced, before anything is written.
    func demandAbsence(unless replacing: Bool) throws(CertificateError) {
        guard !replacing else { return }
        for path in [certificatePath, keyPath] where access(path, F_OK) == 0 { throw .exists(path: path) }
    }

    /// The key first, so that there is never a certificate without one. Nobody but the owner may read the key.
    func write(certificate: String, key: String, replacing: Bool) throws(CertificateError) {
        try CertificateFiles.write(key, to: keyPath, mode: 0o600, replacing: replacing)
        do throws(CertificateError) {
            try CertificateFiles.write(certificate, to: certificatePath, mode: 0o644, replacing: replacing)
        } catch {
            if !replacing { unlink(keyPath) }
            throw error
        }
    }

    static func read(_ path: String) throws(CertificateError) -> String {
        guard let file = fopen(path, "r") else { throw .unreadable(path: path, reason: lastError()) }
        defer { fclose(file) }
        // Certificates and keys have a few kilobytes.
        var bytes = [UInt8](repeating: 0, count: 1_048_576)
        let count = fread(&bytes, 1, bytes.count, file)
        guard ferror(file) == 0 else { throw .unreadable(path: path, reason: lastError()) }
        guard let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw .malformed(path: path, reason: "it is not PEM text")
        }
        return text
    }

    /// Writes a new file, or a file beside the old one which then takes its place.
    private static func write(_ text: String, to path: String, mode: mode_t, replacing: Bool) throws(CertificateError) {
        let target = replacing ? "\(path).new" : path
        if replacing { unlink(target) }
        let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw .exists(path: path) }
            throw .unwritable(path: path, reason: lastError())
        }
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let reason = lastError()
                close(descriptor)
                unlink(target)
                throw .unwritable(path: path, reason: reason)
            }
            written += count
        }
        guard fsync(descriptor) == 0, close(descriptor) == 0, !replacing || rename(target, path) == 0 else {
            let reason = lastError()
            unlink(target)
            throw .unwritable(path: path, reason: reason)
        }
    }

    private static func lastError() -> String { String(cString: strerror(errno)) }
}
