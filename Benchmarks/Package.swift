// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who uses Patina builds its benchmarks.
let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "patina", path: "..")],
    targets: [
        .executableTarget(
            name: "StoreBenchmark",
            dependencies: [
                .product(name: "PatinaProtocol", package: "patina"), .product(name: "PatinaStore", package: "patina"),
                .product(name: "CSQLite", package: "patina"),
            ],
            path: "Sources/StoreBenchmark", swiftSettings: [.treatAllWarnings(as: .error)])
    ],
    swiftLanguageModes: [.v6]
)
