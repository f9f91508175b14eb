/* The bytes that stand where a type may stand in an RDB file. */
#ifndef PERSIST_RDB_OPCODE_H
#define PERSIST_RDB_OPCODE_H

enum rdb_opcode {
    RDB_SLOT_INFO = 244,
    RDB_FUNCTION = 245,
    RDB_FUNCTION_OF_CANDIDATE = 246,
    RDB_MODULE_AUX = 247,
    RDB_IDLE = 248,
    RDB_FREQ = 249,
    RDB_AUX = 250,
    RDB_SIZES = 251,
    RDB_EXPIRE_MS = 252,
    RDB_EXPIRE_S = 253,
    RDB_SELECT = 254,
    RDB_END = 255,
};

#define RDB_HEADER_BYTES 9

#endif
