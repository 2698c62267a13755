import Foundation
import PatinaStore

/// Reads what `db.schema_paths` names: files as they are, and of directories every `.sql` file, in the order of their names.
public enum SchemaFiles {
    /// Bytes of one schema file.
    static let fileBytes = 16 * 1_024 * 1_024

    /// - Throws: `AgentError.schema` that names the path.
    public static func load(_ paths: [String]) throws(AgentError) -> [SchemaFile] {
        var files: [SchemaFile] = []
        for path in paths {
            var isDirectory: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
                throw .schema(reason: "\(path): there is no such file or directory")
            }
            guard isDirectory.boolValue else {
                files.append(try read(path))
                continue
            }
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
                throw .schema(reason: "\(path): the directory cannot be read")
            }
            let directory = path.hasSuffix("/") ? path : path + "/"
            for name in names.sorted() where name.hasSuffix(".sql") { files.append(try read(directory + name)) }
        }
        return files
    }

    private static func read(_ path: String) throws(AgentError) -> SchemaFile {
        guard let data = FileManager.default.contents(atPath: path) else { throw .schema(reason: "\(path): the file cannot be read") }
        guard data.count <= fileBytes else { throw .schema(reason: "\(path): the file has more than \(fileBytes) bytes") }
        guard let text = String(validating: data, as: UTF8.self) else { throw .schema(reason: "\(path): the file is not UTF-8 text") }
        return SchemaFile(path: path, text: text)
    }
}
