#ifndef PATINA_CSQLITE_H
#define PATINA_CSQLITE_H

// The preupdate hook is declared only under this macro; Debian's library is built with it.
#ifndef SQLITE_ENABLE_PREUPDATE_HOOK
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#endif
#include <sqlite3.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// Swift cannot call variadic C functions; these are the few that Patina needs.

static inline int patina_sqlite3_config_singlethread(void) { return sqlite3_config(SQLITE_CONFIG_SINGLETHREAD); }
static inline int patina_sqlite3_config_multithread(void) { return sqlite3_config(SQLITE_CONFIG_MULTITHREAD); }
static inline int patina_sqlite3_config_memstatus(int enabled) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, enabled); }
static inline int patina_sqlite3_db_config_lookaside(sqlite3 *db, int size, int count) {
    return sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, (void *)0, size, count);
}
static inline int patina_sqlite3_db_config_flag(sqlite3 *db, int option, int value) {
    int result = 0;
    return sqlite3_db_config(db, option, value, &result);
}
// SQLITE_TRANSIENT is a function pointer cast that Swift does not import.
static inline sqlite3_destructor_type patina_sqlite3_transient(void) { return SQLITE_TRANSIENT; }


// Pieces of memory of so many bytes and more go back to the system as soon as they are freed. 1 where the C library can do that.
static inline int patina_return_large_memory(int bytes) {
#ifdef __GLIBC__
    return mallopt(M_MMAP_THRESHOLD, bytes);
#else
    (void)bytes;
    return 0;
#endif
}

// A virtual table's C part is a struct that begins with sqlite3_vtab; what follows belongs to the module.
typedef struct patina_savepoint_table {
    sqlite3_vtab base;
    void *context;
} patina_savepoint_table;
typedef struct patina_savepoint_cursor {
    sqlite3_vtab_cursor base;
} patina_savepoint_cursor;

// A file of a VFS likewise: SQLite gives it its methods, the rest belongs to the VFS.
typedef struct patina_vfs_file {
    sqlite3_file base;
    void *handle;
} patina_vfs_file;

// A VFS that stands in front of another one.
typedef struct patina_vfs_front {
    sqlite3_vfs base;
    sqlite3_vfs *below;
} patina_vfs_front;

#endif
