// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "patina",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "patina", targets: ["patina"]),
        .library(name: "PatinaProtocol", targets: ["PatinaProtocol"]),
        .library(name: "PatinaStore", targets: ["PatinaStore"]),
        .library(name: "CSQLite", targets: ["CSQLite"]),
        .library(name: "PatinaSim", targets: ["PatinaSim"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
    ],
    targets: [
        // System libraries.
        .systemLibrary(name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CGnuTLS", path: "Sources/CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
        .systemLibrary(
            name: "CNgtcp2", path: "Sources/CNgtcp2", pkgConfig: "libngtcp2",
            providers: [.apt(["libngtcp2-dev", "libngtcp2-crypto-gnutls-dev"])]),

        // The house, in the order of the dependency law (ARCHITECTURE.md, section 1).
        .target(
            name: "PatinaProtocol",
            dependencies: [.product(name: "OrderedCollections", package: "swift-collections")],
            path: "Sources/Protocol", swiftSettings: strict),
        .target(
            name: "PatinaStore",
            dependencies: ["PatinaProtocol", "CSQLite"],
            path: "Sources/Store", swiftSettings: strict),
        .target(name: "PatinaTOML", path: "Sources/TOML", swiftSettings: strict),
        .target(
            name: "PatinaSim",
            dependencies: [
                "PatinaProtocol", "PatinaStore", "PatinaTOML", "CSQLite",
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            path: "Sources/Sim", swiftSettings: strict),
        .target(
            name: "PatinaRuntime",
            dependencies: [
                "PatinaProtocol", "PatinaStore", "CNgtcp2", "CGnuTLS",
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Runtime", swiftSettings: strict),
        .target(
            name: "PatinaAgent",
            dependencies: [
                "PatinaProtocol", "PatinaStore", "PatinaRuntime", "PatinaTOML",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP2", package: "swift-nio-extras"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ],
            path: "Sources/Agent", swiftSettings: strict),
        .target(
            name: "PatinaLive",
            dependencies: ["PatinaProtocol", "PatinaStore", "PatinaTOML", "PatinaSim", "PatinaAgent"],
            path: "Sources/Live", swiftSettings: strict),
        .executableTarget(
            name: "patina",
            dependencies: [
                "PatinaProtocol", "PatinaStore", "PatinaSim", "PatinaAgent", "PatinaLive",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/patina", swiftSettings: strict),

        // Tests mirror Sources.
        .testTarget(name: "ProtocolTests", dependencies: ["PatinaProtocol"], path: "Tests/Protocol", swiftSettings: strict),
        .testTarget(
            name: "StoreTests", dependencies: ["PatinaStore", "PatinaSim", "CSQLite"], path: "Tests/Store", exclude: ["Vectors"],
            swiftSettings: strict),
        .testTarget(name: "TOMLTests", dependencies: ["PatinaTOML", "PatinaProtocol"], path: "Tests/TOML", swiftSettings: strict),
        .testTarget(name: "SimTests", dependencies: ["PatinaSim", "PatinaStore", "CSQLite"], path: "Tests/Sim", swiftSettings: strict),
        .testTarget(
            name: "RuntimeTests", dependencies: ["PatinaRuntime", "PatinaSim"], path: "Tests/Runtime", exclude: ["QUIC/aioquic_peer.py"],
            swiftSettings: strict),
        .testTarget(name: "AgentTests", dependencies: ["PatinaAgent"], path: "Tests/Agent", swiftSettings: strict),
        .testTarget(name: "LiveTests", dependencies: ["PatinaLive", "PatinaSim"], path: "Tests/Live", swiftSettings: strict),
        .testTarget(name: "RepositoryTests", path: "Tests/Repository", swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
